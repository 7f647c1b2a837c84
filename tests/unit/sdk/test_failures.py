"""Problem documents become failures again; what is no platform is said to be none."""

from __future__ import annotations

import json

import pytest

from libs.kernel.errors import Conflict, Denied, Exhausted, Failure, Invalid, NotFound, Unavailable
from libs.sdk.failures import PlatformFault, failure_of
from libs.sdk.http1 import origin_of

API = "http://localhost:8080"


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("not_found", NotFound),
        ("conflict", Conflict),
        ("invalid", Invalid),
        ("exhausted", Exhausted),
        ("unavailable", Unavailable),
        ("internal", PlatformFault),
        ("of a newer platform", PlatformFault),
    ],
)
def test_each_kind_comes_back(kind: str, made: type[Failure]) -> None:
    body = json.dumps({"detail": "what", "kind": kind, "hint": "do", "field": "f", "status": 400}).encode()
    failure = failure_of(400, body, api=API)
    assert type(failure) is made
    assert (failure.message, failure.hint, failure.field) == ("what", "do", "f")


@pytest.mark.parametrize(("status", "unauthenticated"), [(401, True), (403, False)])
def test_denied_says_whether_signing_in_would_help(status: int, *, unauthenticated: bool) -> None:
    failure = failure_of(status, json.dumps({"detail": "no", "kind": "denied"}).encode(), api=API)
    assert isinstance(failure, Denied)
    assert failure.unauthenticated is unauthenticated


@pytest.mark.parametrize("body", [b"", b"no healthy upstream", b"<html>", b"[]", b'"text"', b"\xff", b'{"detail":7}'])
def test_a_proxys_own_words_are_understood_by_their_status(body: bytes) -> None:
    assert isinstance(failure_of(503, body, api=API), Unavailable)
    assert isinstance(failure_of(413, body, api=API), Exhausted)
    foreign = failure_of(404, body, api=API)
    assert isinstance(foreign, NotFound)
    assert API in str(foreign)


@pytest.mark.parametrize(
    ("api", "host", "port", "name"),
    [
        ("http://localhost:8080", "127.0.0.1", 8080, "localhost:8080"),
        ("http://app.localhost", "127.0.0.1", 80, "app.localhost"),
        ("https://cloud.example", "cloud.example", 443, "cloud.example"),
        ("http://[::1]:1/below/", "::1", 1, "[::1]:1"),
    ],
)
def test_names_below_localhost_mean_this_machine(api: str, host: str, port: int, name: str) -> None:
    origin = origin_of(api)
    assert (origin.host, origin.port, origin.name) == (host, port, name)


@pytest.mark.parametrize("api", ["", "localhost", "ftp://x", "http://", "http://x:port"])
def test_what_is_no_address(api: str) -> None:
    with pytest.raises(ValueError, match=r"address|[Pp]ort"):
        origin_of(api)
