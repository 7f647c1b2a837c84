"""Needs a while before it listens; then says how long it took and what it was greeted with."""

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECONDS = float(os.environ.get("START_SECONDS", "5"))
GREETING = os.environ.get("GREETING", "hello")


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{GREETING}, after {SECONDS:g} s\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(f"warming up for {SECONDS:g} s", flush=True)
time.sleep(SECONDS)
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page)
print("ready", flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
signal.pause()
