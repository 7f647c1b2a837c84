"""A gate in the test's own process: who asks at a closed place is told to wait, so a state lasts as long as wanted."""

from __future__ import annotations

from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from tests.e2e.platform import Json

# What an application calls to wait; it is copied into its source.
WAIT = """
import sys, time, urllib.error, urllib.request


def wait(place):
    while True:
        try:
            with urllib.request.urlopen(f"{ADDRESS}/{place}", timeout=10):
                return
        except urllib.error.URLError:
            time.sleep(0.05)


if __name__ == "__main__":
    wait(sys.argv[1])
"""


class Gate:
    """Answers 200 at places that are open and 503 at all others; counts who came to which."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self.came: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    @property
    def program(self) -> str:
        """The source of `wait.py`, for an application."""
        return f'ADDRESS = "http://127.0.0.1:{self._server.server_port}"\n{WAIT}'

    def open(self, *places: str) -> None:
        """Lets everybody through who waits there, and who comes later."""
        self._open |= set(places)

    def close(self, *places: str) -> None:
        """Holds whoever comes from now on, and forgets who came before."""
        self._open -= set(places)
        for place in places:
            del self.came[place]

    def holds(self, place: str) -> bool:
        """Whether somebody waits at a closed place."""
        return place not in self._open and self.came[place] > 0

    def end(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gate = self

        class Door(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place = self.path.lstrip("/")
                gate.came[place] += 1
                self.send_response(200 if place in gate._open else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Json) -> None:
                """Writes nothing: a closed place is asked twenty times a second."""

        return Door
