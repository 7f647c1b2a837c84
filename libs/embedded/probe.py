"""Asks a part, in its own protocol, whether it is ready. Blocking, with short timeouts; no libraries."""

from __future__ import annotations

import socket
import struct

from libs.embedded import doors

_TIMEOUT = 1.0


def listens(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), _TIMEOUT).close()
    except OSError:
        return False
    return True


def http_status(host: str, port: int, path: str, *, timeout: float = _TIMEOUT) -> int:
    """Returns the status that GET `path` is answered with; 0 when there is no answer."""
    return http_status_at(f"{host}:{port}", path, timeout=timeout)


def http_status_at(address: str, path: str, *, timeout: float = _TIMEOUT) -> int:
    """Returns what `http_status` does, of a server at `address`: host:port or unix:/path."""
    host = "localhost" if doors.unix_path(address) else address
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    answer = _ask(address, request.encode(), 12, timeout=timeout)
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.") and answer[9:12].isdigit() else 0


def http_body(host: str, port: int, path: str, *, timeout: float = _TIMEOUT) -> bytes:
    """Returns the body of GET `path`, 64 KiB at most; empty when there is no answer or it is no success."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    head, _, body = _ask(f"{host}:{port}", request.encode(), 65536, timeout=timeout).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return b""
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        whole, body = whole + body[:length], body[length + 2 :]
    return whole


def postgres_accepts(host: str, port: int) -> bool:
    """Whether PostgreSQL there has finished starting: it asks who we are, rather than refusing."""
    parameters = b"user\0probe\0database\0probe\0\0"
    hello = struct.pack("!ii", 8 + len(parameters), 3 << 16) + parameters
    return _ask(f"{host}:{port}", hello, 1).startswith(b"R")


def nats_accepts(host: str, port: int) -> bool:
    """Whether a NATS server with JetStream there greets us."""
    return b'"jetstream":true' in _ask(f"{host}:{port}", b"", 4096, until=b"\r\n")


def _ask(address: str, request: bytes, size: int, *, until: bytes = b"", timeout: float = _TIMEOUT) -> bytes:
    answer = b""
    try:
        with _connected(address, timeout) as connection:
            connection.sendall(request)
            while len(answer) < size and not (until and until in answer):
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
    except OSError:
        return b""
    return answer


def _connected(address: str, timeout: float) -> socket.socket:
    path = doors.unix_path(address)
    if path is None:
        host, _, port = address.rpartition(":")
        return socket.create_connection((host, int(port)), timeout)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection
