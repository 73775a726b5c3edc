"""Asking a running server over HTTP, by the standard library alone: a command should answer at once."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING

from synapse.cli.terminal import explain

if TYPE_CHECKING:
    from http.client import HTTPConnection
    from urllib.parse import SplitResult

    from synapse.domain.errors import SynapseError

DEFAULT_URL = "http://127.0.0.1:8080"
_PATIENCE = 10.0
"""Seconds for the server to take the connection, and again for each piece of its answer."""
_ELSEWHERE = "give its HTTP address with --url or SYNAPSE_URL"


def add_url_option(parser: argparse.ArgumentParser) -> None:
    """Add `--url` to a command that asks a server over HTTP."""
    parser.add_argument(
        "--url",
        type=_url,
        metavar="URL",
        default=os.environ.get("SYNAPSE_URL") or DEFAULT_URL,
        help=f"the server's HTTP address (default: $SYNAPSE_URL, or {DEFAULT_URL})",
    )


def fetch(url: str, path: str) -> bytes:
    """Return the body of a server's answer to `GET path`, asked with the key in SYNAPSE_API_KEY where it is set.

    Raises SynapseError where there is no answer, or another one than 200.
    """
    from contextlib import closing
    from http.client import HTTPException
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    headers = _headers()
    try:
        with closing(_connection(parts)) as connection:
            connection.request("GET", parts.path + path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
    except (OSError, HTTPException, UnicodeError) as error:
        raise _unanswered(url, error) from error
    if answer.status != 200:  # noqa: PLR2004 - as HTTP has it
        raise _refused(url, path, answer.status, body)
    return body


def _url(text: str) -> str:
    """Return an address with its scheme. Raises ArgumentTypeError for what is none."""
    from urllib.parse import urlsplit

    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.query
    except ValueError:  # the port is no number
        valid = False
    if not valid:
        raise argparse.ArgumentTypeError(f"{text!r} is no HTTP address: give one like {DEFAULT_URL}")
    return url.rstrip("/")


def _connection(parts: SplitResult) -> HTTPConnection:
    from http.client import HTTPConnection, HTTPSConnection

    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(str(parts.hostname), parts.port, timeout=_PATIENCE)


def _headers() -> dict[str, str]:
    from synapse.domain.errors import SynapseError

    key = os.environ.get("SYNAPSE_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise SynapseError("SYNAPSE_API_KEY is no key: there are characters in it that cannot be sent; copy it again")
    return {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})


def _unanswered(url: str, error: Exception) -> SynapseError:
    from http.client import HTTPException
    from ssl import SSLCertVerificationError

    from synapse.domain.errors import SynapseError

    if isinstance(error, SSLCertVerificationError):
        what = f"the certificate of {url} is not accepted: {error.verify_message}"
        return SynapseError(f"{what}. SSL_CERT_FILE can name the PEM file of its authority")
    if isinstance(error, HTTPException):
        return SynapseError(
            f"{url} does not answer as HTTP does: is it the gRPC port, or does it want https? Then {_ELSEWHERE}"
        )
    reason = explain(error) if isinstance(error, OSError) else str(error)
    return SynapseError(f"no connection to Synapse at {url}: {reason}. Start one with `synapse serve`, or {_ELSEWHERE}")


def _refused(url: str, path: str, status: int, body: bytes) -> SynapseError:
    from synapse.domain.errors import SynapseError

    message = _message(body) or f"{url} answered {status}"
    match status:
        case 401 | 403:
            return SynapseError(f"{message} (the key that is sent is that of SYNAPSE_API_KEY)")
        case 404 | 405:
            return SynapseError(
                f"{url} has no {path}: it is an older Synapse, or none; if it is another one, {_ELSEWHERE}"
            )
        case _:
            return SynapseError(message)


def _message(body: bytes) -> str | None:
    """Return what a Synapse says went wrong; None where it is not a Synapse that says it."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return message if isinstance(message, str) else None
