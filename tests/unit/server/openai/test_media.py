"""Pictures, recordings and files as clients send them."""

from __future__ import annotations

from base64 import b64encode

import pytest

from synapse.domain.errors import InvalidRequest
from synapse.domain.request import Audio, Document, Image, ImageUrl
from synapse.server.http.openai.media import (
    AudioData,
    AudioPart,
    CacheControl,
    FileData,
    FilePart,
    ImagePart,
    Url,
    audio,
    document,
    image,
)

PNG = b"\x89PNG\r\n\x1a\nrest"
PNG_64 = b64encode(PNG).decode()
PDF_64 = b64encode(b"%PDF-1.7 rest").decode()


@pytest.mark.parametrize("url", ["https://example.com/a.png", "http://example.com/a", "HTTPS://EXAMPLE.COM/A.PNG"])
@pytest.mark.parametrize("detail", [None, "low"])
def test_a_picture_by_its_address_stays_one(url: str, detail: str | None) -> None:
    """Whether it is fetched, and by whom, is not decided here."""
    assert image(ImagePart(Url(url, detail)), "m") == ImageUrl(url, detail)


def test_a_picture_may_be_a_string() -> None:
    """As some clients write it."""
    assert image(ImagePart("https://example.com/a.png"), "m") == ImageUrl("https://example.com/a.png")


@pytest.mark.parametrize(
    "opening",
    [
        "data:image/png;base64,",
        "data:image/jpeg;base64,",
        "data:;base64,",
        "data:image/png;charset=x;base64,",
        "DATA:image/png;BASE64,",
    ],
)
def test_the_type_of_a_picture_is_told_by_its_bytes(opening: str) -> None:
    """Whatever its URL claims."""
    part = ImagePart(Url(opening + PNG_64, "high"), CacheControl())

    assert image(part, "m") == Image("image/png", PNG, "high", "5m")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "got 'file:///etc/passwd', expected an http(s) URL, or data:image/png;base64,…"),
        ("", "got '', expected an http(s) URL"),
        ("a" * 1000, f"got '{'a' * 60}…', expected"),
        ("data:image/png,abc", "got 'data:image/png,abc', expected data: in base64"),
        ("data:image/png;base64,n/t!", "not valid base64"),
        (f"data:image/bmp;base64,{b64encode(b'BM of a bitmap').decode()}", "its 14 bytes are no image of a known type"),
    ],
)
def test_what_is_no_picture_is_refused(url: str, message: str) -> None:
    """With the place, and what was expected there."""
    with pytest.raises(InvalidRequest) as caught:
        image(ImagePart(Url(url)), "messages[0].content[1]")

    assert caught.value.field == "messages[0].content[1].image_url"
    assert caught.value.message.startswith(f"messages[0].content[1].image_url: {message}")


@pytest.mark.parametrize(("form", "media_type"), [("wav", "audio/wav"), ("mp3", "audio/mpeg")])
def test_a_recording_is_its_bytes(form: str, media_type: str) -> None:
    """With its type."""
    assert audio(AudioPart(AudioData("UklGRg==", form)), "m") == Audio(media_type, b"RIFF")


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        (AudioData("UklGRg==", "ogg"), "m.input_audio.format", "got 'ogg', expected wav or mp3"),
        (AudioData("n/t!", "wav"), "m.input_audio.data", "not valid base64"),
    ],
)
def test_what_is_no_recording_is_refused(data: AudioData, field: str, message: str) -> None:
    """With the field of it that is wrong."""
    with pytest.raises(InvalidRequest) as caught:
        audio(AudioPart(data), "m")

    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field}: {message}")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (FileData(f"data:application/pdf;base64,{PDF_64}", "a.pdf"), ("application/pdf", "a.pdf")),
        (FileData(PDF_64, "a"), ("application/pdf", "a")),
        (FileData(f"data:text/plain;base64,{PDF_64}"), ("application/pdf", None)),
        (FileData("data:text/plain;base64,SGk="), ("text/plain", None)),
        (FileData("SGk=", "notes.txt"), ("text/plain", "notes.txt")),
    ],
)
def test_the_type_of_a_file_is_found_somewhere(file: FileData, expected: tuple[str, str | None]) -> None:
    """A PDF's bytes say it; else its URL; else its name."""
    found = document(FilePart(file, CacheControl("1h")), "m")

    assert isinstance(found, Document)
    assert (found.media_type, found.name, found.cache) == (*expected, "1h")


def test_a_file_that_is_a_picture_is_a_picture() -> None:
    """Providers take pictures in a place of their own."""
    assert document(FilePart(FileData(PNG_64, "a.pdf")), "m") == Image("image/png", PNG)


@pytest.mark.parametrize(
    ("file", "field", "message"),
    [
        (FileData(), "m.file.file_data", "a message's file must come with it"),
        (FileData(file_id="file-1"), "m.file.file_id", "a message's file must come with it"),
        (FileData("SGk="), "m.file.file_data", "nothing says of what kind it is"),
        (FileData("SGk=", "a.nobody-knows"), "m.file.file_data", "nothing says of what kind it is"),
        (FileData("n/t!", "a.pdf"), "m.file.file_data", "not valid base64"),
        (FileData("data:text/plain,Hi"), "m.file.file_data", "got 'data:text/plain,Hi', expected data: in base64"),
    ],
)
def test_what_is_no_file_is_refused(file: FileData, field: str, message: str) -> None:
    """With the field of it that is wrong."""
    with pytest.raises(InvalidRequest) as caught:
        document(FilePart(file), "m")

    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field}: {message}")
