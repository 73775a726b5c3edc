"""`synapse keys`, against a small HTTP server."""

from __future__ import annotations

import json
import os
import pty
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from synapse.cli.standings import NOTHING

Run = Callable[..., subprocess.CompletedProcess[str]]
ANSWER = """{"keys": [
    {"provider": "openrouter", "credential": "…7890", "project": "key-1", "model": null, "quotas": [], "running": 0,
     "benched_until": "never", "reason": "No auth credentials found"},
    {"provider": "gemini", "credential": "…cdef", "project": "p1", "model": "gemini-2.5-flash", "quotas": [
      {"measure": "rpm", "used": 10, "limit": 10, "reopens_at": "2026-01-01T00:00:12Z"},
      {"measure": "concurrency", "used": 2, "limit": null, "reopens_at": null}
    ], "running": 2, "benched_until": null, "reason": null}
]}"""


class Server(ThreadingHTTPServer):
    """Answers every request with the same, and notes what it was asked."""

    daemon_threads = True

    def __init__(self, status: int, body: str) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.body = body.encode()
        self.asked: list[tuple[str, str | None]] = []
        """Paths, each with the `Authorization` it came with."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Speaks for the server."""

    server: Server

    def do_GET(self) -> None:
        """Answer."""
        self.server.asked.append((self.path, self.headers["Authorization"]))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(server: Server) -> Iterator[Server]:
    """Answer while the block lasts."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers; they stop when the test is over."""
    with ExitStack() as stack:
        yield lambda status=200, body=ANSWER: stack.enter_context(served(Server(status, body)))


def test_people_get_a_table(synapse: Run, serve: Serve) -> None:
    """Sorted, and without colours where there is no terminal."""
    server = serve()

    result = synapse("keys", "--url", f"http://{server.address}")

    assert (result.returncode, result.stderr) == (0, "")
    lines = [" ".join(line.replace(NOTHING, "-").split()) for line in result.stdout.splitlines()]
    assert lines == [
        "provider credential project model rpm tpm rpd tpd concurrency reopens benched",
        "gemini …cdef p1 gemini-2.5-flash 10/10 - - - 2/- now -",
        "openrouter …7890 key-1 all - - - - - - for good: No auth credentials found",
    ]
    assert "\x1b" not in result.stdout
    assert server.asked == [("/admin/keys", None)]


def test_machines_get_the_answer_as_it_came(synapse: Run, serve: Serve) -> None:
    """Letter by letter; a path before the server's routes and a slash behind it do no harm."""
    server = serve()

    result = synapse("keys", "--json", "--url", f"{server.address}/synapse/")

    assert (result.returncode, result.stdout, result.stderr) == (0, f"{ANSWER}\n", "")
    assert server.asked == [("/synapse/admin/keys", None)]


def test_the_environment_has_the_address_and_the_key(synapse: Run, serve: Serve) -> None:
    """The key goes along as a bearer; the option wins over the variable."""
    server, other = serve(), serve(body='{"keys": []}')

    told = [
        synapse("keys", "--json", SYNAPSE_URL=f"http://{server.address}", SYNAPSE_API_KEY=" secret-1 "),
        synapse("keys", "--url", other.address, SYNAPSE_URL=f"http://{server.address}", SYNAPSE_API_KEY=""),
    ]

    assert [(each.returncode, each.stderr) for each in told] == [(0, "")] * 2
    assert server.asked == [("/admin/keys", "Bearer secret-1")]
    assert other.asked == [("/admin/keys", None)]


def test_a_server_without_keys_is_no_empty_table(synapse: Run, serve: Serve) -> None:
    """It is said in words."""
    result = synapse("keys", "--url", serve(body='{"keys": []}').address)

    assert (result.returncode, result.stdout, result.stderr) == (
        0,
        "The server has no keys, and no model that needs none.\n",
        "",
    )


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            401,
            '{"error": {"type": "unauthenticated", "message": "there is no such key"}}',
            "there is no such key (the key that is sent is that of SYNAPSE_API_KEY)",
        ),
        (403, "no", "{url} answered 403 (the key that is sent is that of SYNAPSE_API_KEY)"),
        (
            404,
            '{"error": {"type": "not_found", "message": "there is no such route"}}',
            "{url} has no /admin/keys: it is an older Synapse, or none; ",
        ),
        (500, '{"error": {"message": "Synapse failed at this route"}}', "Synapse failed at this route"),
        (502, "<html>Bad gateway</html>", "{url} answered 502"),
        (503, '{"error": "overloaded"}', "{url} answered 503"),
        (200, "hello", "what answered is no Synapse, or one of another version: JSON is malformed"),
    ],
)
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_what_a_server_refuses_is_told_in_a_line(  # noqa: PLR0917 - pytest passes them
    synapse: Run, serve: Serve, status: int, body: str, said: str, option: list[str]
) -> None:
    """In the server's words where it has some."""
    url = f"http://{serve(status, body).address}"

    result = synapse("keys", "--url", url, *option, SYNAPSE_API_KEY="secret-1")

    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(f"synapse: {said.format(url=url)}")
    assert "secret-1" not in result.stderr


def test_without_a_server_it_says_how_to_start_one(synapse: Run) -> None:
    """Nothing listens on port 1."""
    result = synapse("keys", "--url", "http://127.0.0.1:1")

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "synapse: no connection to Synapse at http://127.0.0.1:1: Connection refused. Start one with `synapse serve`, "
        "or give its HTTP address with --url or SYNAPSE_URL\n"
    )


def test_what_does_not_speak_http_is_told(synapse: Run) -> None:
    """As the gRPC port does not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        greeting = threading.Thread(target=greet, args=(listener,))
        greeting.start()
        result = synapse("keys", "--url", url)
        greeting.join()

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"synapse: {url} does not answer as HTTP does: is it the gRPC port, ")


def greet(listener: socket.socket) -> None:
    """Say to one caller what a gRPC server says first."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(bytes.fromhex("000018040000000000000400ffffff000500ffffff000600002000fe0300000001"))


@pytest.mark.parametrize(
    "url", ["ftp://a", "http://", "a:b", "http://a:99999", "http://a:0", "http://a?b=c", "http://[a"]
)
def test_what_is_no_address_is_wrong_usage(synapse: Run, url: str) -> None:
    """From the option as from the variable."""
    results = [synapse("keys", "--url", url), synapse("keys", SYNAPSE_URL=url)]

    for result in results:
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.endswith(
            f"argument --url: {url!r} is no HTTP address: give one like http://127.0.0.1:8080\n"
        )


@pytest.mark.parametrize("url", ["http://no such host", f"http://{'a' * 70}.example", "http://a..b", "http://a/b c"])
def test_an_address_that_cannot_be_asked_is_a_failure(synapse: Run, url: str) -> None:
    """In a line, without a traceback."""
    result = synapse("keys", "--url", url)

    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("key", ["secret\n1", "secrét"])
def test_a_key_that_cannot_be_sent_is_not_shown(synapse: Run, serve: Serve, key: str) -> None:
    """Only the variable is."""
    server = serve()

    result = synapse("keys", "--url", server.address, SYNAPSE_API_KEY=key)

    assert (result.returncode, result.stdout, server.asked) == (1, "", [])
    assert result.stderr == (
        "synapse: SYNAPSE_API_KEY is no key: there are characters in it that cannot be sent; copy it again\n"
    )


def test_a_certificate_of_ones_own_authority_is_accepted(synapse: Run, tmp_path: Path) -> None:
    """Where SSL_CERT_FILE names it, and only there."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = Server(200, ANSWER)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://{server.address}"

    with served(server):
        trusted = synapse("keys", "--url", url, "--json", SSL_CERT_FILE=str(tmp_path / "ca.pem"))
        unknown = synapse("keys", "--url", url)

    assert json.loads(trusted.stdout) == json.loads(ANSWER)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith(f"synapse: the certificate of {url} is not accepted: ")
    assert unknown.stderr.endswith(". SSL_CERT_FILE can name the PEM file of its authority\n")


@pytest.mark.parametrize(("environ", "colours"), [({}, (b"\x1b[33m", b"\x1b[31m")), ({"NO_COLOR": "1"}, ())])
def test_a_terminal_has_colours_unless_they_are_unwanted(
    serve: Serve, environ: dict[str, str], colours: tuple[bytes, ...]
) -> None:
    """What is used up is yellow, what is benched red."""
    output = on_terminal(serve().address, COLUMNS="200", **environ)

    assert all(colour in output for colour in colours)
    assert (b"\x1b[3" in output) is bool(colours)


def test_a_narrow_terminal_has_no_columns_without_a_limit(serve: Serve) -> None:
    """The others stay whole."""
    wide, narrow = (on_terminal(serve().address, COLUMNS=columns, NO_COLOR="1").decode() for columns in ("140", "80"))

    assert "concurrency" in wide
    assert "concurrency" not in narrow
    assert "rpm" in narrow
    assert "10/10" in narrow


def on_terminal(address: str, **environ: str) -> bytes:
    """Return what the command writes to a terminal."""
    leader, follower = pty.openpty()
    subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "synapse", "keys", "--url", address],
        env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environ},
        stdout=follower,
        check=True,
        timeout=30,
    )
    output = os.read(leader, 65536)
    os.close(follower)
    os.close(leader)
    return output


def test_proxies_of_the_environment_are_for_providers(synapse: Run, serve: Serve) -> None:
    """The server is asked directly."""
    server = serve()

    result = synapse("keys", "--url", server.address, "--json", HTTP_PROXY="http://127.0.0.1:1", http_proxy="http://b")

    assert result.returncode == 0
    assert len(server.asked) == 1
