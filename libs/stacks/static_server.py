"""A small file server: what a static site's artifact runs. Needs nothing but the standard library.

Usage: static_server.py FOLDER; listens on $PORT. Never shows hidden files, never leaves the folder.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import posixpath
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO, ClassVar
from urllib.parse import quote, unquote, urlsplit

IDLE_SECONDS = 75
GRACE_SECONDS = 10.0
CHUNK = 128 * 1024
TYPES = {
    ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".html": "text/html", ".htm": "text/html",
    ".json": "application/json", ".map": "application/json", ".svg": "image/svg+xml", ".webp": "image/webp",
    ".avif": "image/avif", ".woff": "font/woff", ".woff2": "font/woff2", ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json", ".txt": "text/plain", ".md": "text/markdown", ".xml": "text/xml",
    ".ico": "image/vnd.microsoft.icon",
}  # fmt: skip


class Site:
    """The files of one folder. They do not change while it is served, so each is hashed once."""

    def __init__(self, folder: Path, *, fallback: bool = False) -> None:
        self.folder = folder.resolve()
        # Unknown addresses get the index page: it routes by itself.
        self.fallback = fallback
        self._tags: dict[Path, str] = {}

    def find(self, path: str) -> Path | None:
        """The file for a request's decoded path, or None; a folder's is its index.html."""
        parts = [part for part in path.split("/") if part not in {"", "."}]
        if any(part == ".." or "\0" in part or (part.startswith(".") and part != ".well-known") for part in parts):
            return None
        try:
            plain = self.folder.joinpath(*parts)
            named = (plain, plain.with_name(plain.name + ".html"))
            for candidate in (plain / "index.html",) if path.endswith("/") else named:
                file = candidate.resolve()
                if file.is_file() and file.is_relative_to(self.folder):
                    return file
        except (OSError, ValueError):
            return None  # a name that no file system takes
        return None

    def folder_of(self, path: str) -> bool:
        """Whether the path names a folder with an index page, without its final slash."""
        return not path.endswith("/") and self.find(path + "/") is not None

    def tag(self, file: Path) -> str:
        """The file's entity tag, of its content."""
        known = self._tags.get(file)
        if known is None:
            with file.open("rb") as content:
                known = self._tags[file] = f'"{hashlib.file_digest(content, "sha256").hexdigest()[:32]}"'
        return known


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    protocol_version = "HTTP/1.1"
    server_version = "Lightrail"
    sys_version = ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: Server
    site: ClassVar[Site]
    # Times of files say nothing: a build drops them. What is served is as new as the release that serves it.
    since: ClassVar[float]

    def do_GET(self) -> None:
        """Sends the file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Sends its headers."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        with self.server.answering():
            self._respond(body=body)
            self.close_connection = self.close_connection or self.server.stopping

    def _respond(self, *, body: bool) -> None:
        asked = urlsplit(self.path)
        path = unquote(asked.path, errors="surrogateescape")
        if not path.startswith("/"):
            self._refuse(HTTPStatus.BAD_REQUEST, body=body)
            return
        file = self.site.find(path)
        if file is None and self.site.folder_of(path):
            # Normalised, so that "//host" can never become an address elsewhere.
            target = "/" + quote(posixpath.normpath(path).lstrip("/"), errors="surrogateescape") + "/"
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            self.send_header("Location", target + (f"?{asked.query}" if asked.query else ""))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if file is None and self.site.fallback and "." not in posixpath.basename(path):
            file = self.site.find("/")
        if file is None:
            page = self.site.find("/404.html")
            if page is None:
                self._refuse(HTTPStatus.NOT_FOUND, body=body)
            else:
                self._send(page, HTTPStatus.NOT_FOUND, body=body)
            return
        if self._unchanged(self.site.tag(file)):
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self._validators(file)
            self.end_headers()
            return
        self._send(file, HTTPStatus.OK, body=body)

    def _send(self, file: Path, status: HTTPStatus, *, body: bool) -> None:
        with file.open("rb") as content:
            size = os.fstat(content.fileno()).st_size
            self.send_response(status)
            self.send_header("Content-Type", kind_of(file))
            self.send_header("Content-Length", str(size))
            self.send_header("X-Content-Type-Options", "nosniff")
            if status is HTTPStatus.OK:
                self._validators(file)
            self.end_headers()
            if body:
                self._copy(content)

    def _copy(self, content: BinaryIO) -> None:
        while chunk := content.read(CHUNK):
            self.wfile.write(chunk)

    def _validators(self, file: Path) -> None:
        self.send_header("ETag", self.site.tag(file))
        self.send_header("Last-Modified", formatdate(self.since, usegmt=True))
        self.send_header("Cache-Control", "public, max-age=0, must-revalidate")

    def _unchanged(self, tag: str) -> bool:
        match = self.headers.get("If-None-Match")
        if match is not None:
            return match.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in match.split(",")}
        since = self.headers.get("If-Modified-Since")
        try:
            return since is not None and parsedate_to_datetime(since).timestamp() >= int(self.since)
        except (TypeError, ValueError, OverflowError):
            return False  # no date: the header counts as absent (RFC 9110)

    def _refuse(self, status: HTTPStatus, *, body: bool) -> None:
        text = f"{status.value} {status.phrase}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if body:
            self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Stays silent: the edge keeps the access log."""


class Server(ThreadingHTTPServer):
    """Finishes what it holds when asked to stop."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Handler)
        self._free = threading.Condition()
        self._answering = 0
        self.stopping = False

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Counts a request that is being answered."""
        with self._free:
            self._answering += 1
        try:
            yield
        finally:
            with self._free:
                self._answering -= 1
                self._free.notify_all()

    def finish(self) -> None:
        """Stops accepting and waits, at most ten seconds, for the answers under way."""
        self.stopping = True
        self.shutdown()
        with self._free:
            self._free.wait_for(lambda: self._answering == 0, timeout=GRACE_SECONDS)
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the names are given
        """A visitor who left is no error; anything else is printed."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"error: {error!r}", file=sys.stderr, flush=True)  # noqa: T201 - the process's log


def kind_of(file: Path) -> str:
    """The Content-Type of a file by its name."""
    kind = TYPES.get(file.suffix.lower()) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    textual = kind.startswith("text/") or kind in {"application/json", "image/svg+xml", "application/manifest+json"}
    return f"{kind}; charset=utf-8" if textual else kind


def main(arguments: list[str], port: int, since: float) -> None:
    """Serves until SIGTERM or SIGINT."""
    address = "127.0.0.1"
    if "--listen" in arguments:
        place = arguments.index("--listen")
        address = arguments[place + 1]
        arguments = arguments[:place] + arguments[place + 2 :]
    folders = [argument for argument in arguments if argument != "--fallback"]
    Handler.site = Site(Path(folders[0] if folders else "."), fallback="--fallback" in arguments)
    Handler.since = since
    server = Server((address, port))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    accepting = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    accepting.start()
    print(f"serving {Handler.site.folder} on port {port}", flush=True)  # noqa: T201 - the process's log
    stop.wait()
    server.finish()


if __name__ == "__main__":
    main(sys.argv[1:], int(os.environ.get("PORT", "8000")), Path("/proc/self").stat().st_mtime)
