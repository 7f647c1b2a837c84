"""Host names: readable, unique, the same every time."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from libs.kernel.errors import Invalid

# RFC 1035: a label has at most 63 characters.
LABEL_LENGTH: Final = 63
# What is left of an environment's name when both parts together are too long.
ENVIRONMENT_LENGTH: Final = 24
# Labels that people and programs expect to be the platform's own.
RESERVED: Final = frozenset(
    {
        "www", "api", "app", "apps", "admin", "dashboard", "console", "gateway", "router", "edge", "auth", "login",
        "docs", "status", "health", "metrics", "internal", "localhost", "lightrail", "platform", "registry",
        "mail", "smtp", "imap", "pop", "ftp", "ns", "ns1", "ns2", "autoconfig", "autodiscover", "wpad", "isatap",
    }
)  # fmt: skip
_SUFFIXES: Final = (4, 6, 10, 26)
_BASE: Final = re.compile(r"^(?=.{1,180}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$")


def slug(text: str) -> str:
    """Returns what of `text` may stand in a host name: a-z, 0-9 and single hyphens inside; may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def candidates(service_name: str, environment_name: str, owner: str) -> Iterator[str]:
    """Yields labels for `owner`, best first: the readable one, then with longer and longer suffixes of its own.

    The suffixes depend on `owner` alone, so that asking again after a crash ends at the same label.
    """
    base = _readable(slug(service_name) or "app", slug(environment_name))
    if base not in RESERVED:
        yield base
    digest = base64.b32encode(hashlib.sha256(owner.encode()).digest()).decode().lower()
    for length in _SUFFIXES:
        yield f"{base[: LABEL_LENGTH - 1 - length].rstrip('-')}-{digest[:length]}"


def base_domain(text: str) -> str:
    """Returns the domain that names end with, checked. Invalid when it is none."""
    domain = text.strip().lower().rstrip(".")
    if not _BASE.match(domain):
        raise Invalid(f"“{text}” is no domain.", hint="Write it like apps.example.org.")
    return domain


def _readable(service: str, environment: str) -> str:
    whole = f"{service}-{environment}" if environment else service
    if len(whole) <= LABEL_LENGTH:
        return whole
    tail = environment[:ENVIRONMENT_LENGTH].strip("-")
    room = LABEL_LENGTH - len(tail) - 1 if tail else LABEL_LENGTH
    head = service[:room].rstrip("-")
    return f"{head}-{tail}" if tail else head
