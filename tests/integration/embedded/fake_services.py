"""Stands in for `libs.runtime` where a test is about the supervisor: answers health, starts one "application"."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.integration.embedded import fake_router


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class named it
        """Quiet."""


def serve(address: str) -> ThreadingHTTPServer:
    host, _, port = address.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def stand_in() -> None:
    """Serves the edge until another has taken the socket."""
    ads, edge = os.environ["LIGHTRAIL_ADS_ADDRESS"], os.environ["LIGHTRAIL_EDGE_PORT"]
    door = Path(ads.removeprefix("unix:"))
    router = fake_router.serve(ads, f"127.0.0.1:{edge}", os.environ["LIGHTRAIL_GATEWAY_HTTP_ADDRESS"])
    assert router
    mine = door.stat().st_ino
    while door.exists() and door.stat().st_ino == mine:
        time.sleep(0.05)
    # Leaving politely would take the socket of the other with it.
    os._exit(0)


def main() -> None:
    if sys.argv[1].startswith("--standby="):
        stand_in()
    target = sys.argv[1].removeprefix("--target=")
    home = Path(os.environ["LIGHTRAIL_HOME"])
    (home / f"environment-{target}").write_text("\n".join(f"{key}={value}" for key, value in os.environ.items()))
    if (home / "refuse").exists():
        sys.exit("refused: the test wants it so")
    application = home / "application.pid"
    if not application.exists():
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        application.write_text(str(child.pid))
    serve(os.environ["LIGHTRAIL_METRICS_ADDRESS"])
    if target in {"all", "gateway"}:
        serve(os.environ["LIGHTRAIL_GATEWAY_HTTP_ADDRESS"])
    if target in {"all", "router"} and os.environ.get("LIGHTRAIL_ENVOY") != "external":
        edge = f"{os.environ['LIGHTRAIL_EDGE_ADDRESS']}:{os.environ['LIGHTRAIL_EDGE_PORT']}"
        router = fake_router.serve(
            os.environ["LIGHTRAIL_ADS_ADDRESS"], edge, os.environ["LIGHTRAIL_GATEWAY_HTTP_ADDRESS"]
        )
        assert router
    sys.stdout.write(f"{target} serves\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
