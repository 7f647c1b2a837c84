from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from libs.stacks import static_server
from libs.stacks.static_server import Site, kind_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site") / "public"
    (root / "about").mkdir(parents=True)
    (root / "index.html").write_text("<h1>home</h1>")
    (root / "about" / "index.html").write_text("about")
    (root / "contact.html").write_text("contact")
    (root / "app.js").write_text("1")
    (root / "ünï code.txt").write_text("text")
    (root / ".env").write_text("SECRET=1")
    (root / ".well-known").mkdir()
    (root / ".well-known" / "security.txt").write_text("Contact: x")
    (root / "404.html").write_text("not here")
    (root.parent / "outside.txt").write_text("outside")
    (root / "leak.txt").symlink_to("../outside.txt")
    return root


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", static_server.__file__, str(folder)],
        env={"PORT": str(port)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    assert b"serving" in process.stdout.readline()
    yield port
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0
    process.stdout.close()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response, response.read()


@pytest.mark.parametrize(
    ("path", "status", "kind", "body"),
    [
        ("/", 200, "text/html; charset=utf-8", b"<h1>home</h1>"),
        ("/index.html?x=1", 200, "text/html; charset=utf-8", b"<h1>home</h1>"),
        ("/about/", 200, "text/html; charset=utf-8", b"about"),
        ("/contact", 200, "text/html; charset=utf-8", b"contact"),
        ("/app.js", 200, "text/javascript; charset=utf-8", b"1"),
        ("/%C3%BCn%C3%AF%20code.txt", 200, "text/plain; charset=utf-8", b"text"),
        ("/.well-known/security.txt", 200, "text/plain; charset=utf-8", b"Contact: x"),
        ("/nothing", 404, "text/html; charset=utf-8", b"not here"),
        ("/.env", 404, "text/html; charset=utf-8", b"not here"),
        ("/../outside.txt", 404, "text/html; charset=utf-8", b"not here"),
        ("/%2e%2e/outside.txt", 404, "text/html; charset=utf-8", b"not here"),
        ("/about/..%2f..%2foutside.txt", 404, "text/html; charset=utf-8", b"not here"),
        ("/leak.txt", 404, "text/html; charset=utf-8", b"not here"),
        ("/a%00b", 404, "text/html; charset=utf-8", b"not here"),
        ("/" + "x" * 5000, 404, "text/html; charset=utf-8", b"not here"),
    ],
)
def test_files_are_served_and_nothing_else(server: int, path: str, status: int, kind: str, body: bytes) -> None:
    response, got = ask(server, path)
    assert (response.status, response.headers["Content-Type"], got) == (status, kind, body)


def test_a_folder_without_its_slash_is_redirected_within_the_site(server: int) -> None:
    response, _ = ask(server, "/about?a=b")
    assert (response.status, response.headers["Location"]) == (301, "/about/?a=b")
    response, _ = ask(server, "//about")
    assert response.headers.get("Location", "/") in {"/about/", "/"}


def test_what_has_not_changed_is_not_sent_again(server: int) -> None:
    first, _ = ask(server, "/app.js")
    tag, since = first.headers["ETag"], first.headers["Last-Modified"]
    assert ask(server, "/app.js", If_None_Match=f'"other", {tag}')[0].status == 304
    assert ask(server, "/app.js", If_None_Match='"other"', If_Modified_Since=since)[0].status == 200
    assert ask(server, "/app.js", If_Modified_Since=since)[0].status == 304
    assert ask(server, "/app.js", If_Modified_Since="Mon, 01 Jan 2001 00:00:00 GMT")[0].status == 200
    assert ask(server, "/app.js", If_Modified_Since="never")[0].status == 200


def test_head_sends_no_body_and_other_methods_are_refused(server: int) -> None:
    response, body = ask(server, "/app.js", "HEAD")
    assert (response.status, response.headers["Content-Length"], body) == (200, "1", b"")
    assert ask(server, "/", "POST")[0].status == 501


def test_a_connection_is_used_again(server: int) -> None:
    with closing(HTTPConnection("127.0.0.1", server, timeout=5)) as connection:
        for _ in range(3):
            connection.request("GET", "/app.js")
            assert connection.getresponse().read() == b"1"


def test_answers_under_way_are_finished_when_it_is_asked_to_stop(folder: Path) -> None:
    (folder / "large.bin").write_bytes(os.urandom(24 * 1024 * 1024))
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", static_server.__file__, str(folder)],
        env={"PORT": str(port)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.readline()
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/large.bin")
        response = connection.getresponse()
        got = len(response.read(1000))
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        got += len(response.read())
    assert got == 24 * 1024 * 1024
    assert process.wait(timeout=5) == 0
    assert time.monotonic() - begun < 5
    process.stdout.close()


def test_names_tell_the_kind(tmp_path: Path) -> None:
    assert kind_of(Path("a.unknown")) == "application/octet-stream"
    assert kind_of(Path("a.WASM")) == "application/wasm"
    assert Site(tmp_path).find("/") is None


def test_with_a_fallback_unknown_pages_get_the_index_and_unknown_files_do_not(folder: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-I", "-S", static_server.__file__, "--fallback", str(folder)]
    with subprocess.Popen(command, env={"PORT": str(port)}, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert b"serving" in process.stdout.readline()
        try:
            response, body = ask(port, "/orders/7")
            assert (response.status, body) == (200, b"<h1>home</h1>")
            response, body = ask(port, "/assets/gone.js")
            assert (response.status, body) == (404, b"not here")
            response, body = ask(port, "/contact")
            assert (response.status, body) == (200, b"contact")
        finally:
            process.send_signal(signal.SIGTERM)
