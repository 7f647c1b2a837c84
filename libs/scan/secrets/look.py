"""Looks for secrets in one file. The secret itself never leaves this module: at most its first letters do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from libs.scan.secrets.plausible import is_key, is_password, is_token
from libs.scan.secrets.rules import RULES, Rule
from libs.scan.severity import Severity

# Bytes of a file that are looked at; a person's own file is not longer.
MOST_BYTES: Final = 1024 * 1024
# Findings and candidates of one file: who has more has one problem, not many.
MOST_IN_FILE: Final = 20
_MOST_CANDIDATES: Final = 500
_BINARY: Final = 8192
ALLOWED: Final = (b"lightrail:allow-secret", b"gitleaks:allow", b"pragma: allowlist secret")
GENERIC: Final = "generic-secret"
_WORDS: Final = (
    b"password", b"passwd", b"secret", b"token", b"api_key", b"apikey", b"api-key", b"access_key", b"accesskey",
    b"private_key", b"encryption_key", b"credential",
)  # fmt: skip
_ASSIGNED: Final = re.compile(
    rb"(?i:password|passwd|secret|token|api[_-]?key|access_?key|private_key|encryption_key|credentials?)"
    rb"[A-Za-z0-9_-]{0,24}[\"'\]]{0,2}[ \t]{0,10}(?:=>|:=|=|:)[ \t]{0,10}"
    rb"(?:[\"'`]([^\"'`\s]{16,200})[\"'`]|([^\s\"'`#;,]{16,200})(?=[\s#;]|$))"
)
# Files in which a value needs no quotes.
_PLAIN: Final = re.compile(r"(?:^|/)\.env[^/]{0,60}$|\.(?:env|ini|properties|cfg|conf|ya?ml|npmrc|pypirc|netrc)$")
# Written by tools, or about words: full of what looks random and is none.
_WRITTEN_BY_TOOLS: Final = re.compile(
    r"(?:^|/)(?:vendor|third_party|\.yarn|dist)/|(?:\.min\.(?:js|css|mjs)|\.map|\.svg|\.lock|\.lockb|\.sum|\.snap|\.po"
    r"|-lock\.json|-lock\.yaml|\.lock\.json|\.lockfile|\.lock\.hcl|\.html?|\.css|\.ipynb|manifest\.toml|\.resolved)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, order=True)
class SecretFinding:
    """A secret in the source: where it is, what kind, how bad. `shown` holds a few letters that name its kind."""

    path: str
    line: int
    rule: str
    title: str
    severity: Severity
    shown: str


def is_binary(data: bytes) -> bool:
    """Whether this is no text."""
    return b"\0" in data[:_BINARY]


def find_secrets(path: str, data: bytes) -> list[SecretFinding]:
    """The secrets in the first bytes of a text file, in order, at most one a line and twenty in all."""
    data = data[:MOST_BYTES]
    if is_binary(data):
        return []
    found: dict[int, SecretFinding] = {}
    for place, rule, shown in _candidates(path, data):
        line = data.count(b"\n", 0, place) + 1
        if line not in found and not _allowed(data, place):
            found[line] = SecretFinding(path, line, rule.name, rule.title, rule.severity, shown)
            if len(found) >= MOST_IN_FILE:
                break
    return [found[line] for line in sorted(found)]


def _candidates(path: str, data: bytes) -> Iterator[tuple[int, Rule, str]]:
    """Place, rule and shown letters of what is most likely a secret."""
    lowered = data.lower()
    # One flat loop over words: most files hold none, and this is where the time of a large source goes.
    for rule in dict.fromkeys([rule for word, rule in _BY_WORD if word in lowered]):
        for match in islice(rule.pattern.finditer(data), _MOST_CANDIDATES):
            secret = _text(match[1])
            if _real(rule, match, secret):
                yield match.start(), rule, f"{secret[: rule.shown]}…"
    if any(word in lowered for word in _WORDS) and not _WRITTEN_BY_TOOLS.search(path):
        unquoted = bool(_PLAIN.search(path))
        for match in islice(_ASSIGNED.finditer(data), _MOST_CANDIDATES):
            value = match[1] if match[1] is not None else match[2] if unquoted else b""
            if value and is_key(_text(value)):
                yield match.start(), _GENERIC, "…"


def _real(rule: Rule, match: re.Match[bytes], secret: str) -> bool:
    if rule.address:
        user, _, rest = _text(match[0]).partition("://")[2].partition(":")
        return is_password(user, secret, rest.rpartition("@")[2])
    return not rule.entropy or is_token(secret, rule.entropy)


def _allowed(data: bytes, place: int) -> bool:
    begin = data.rfind(b"\n", 0, place) + 1
    end = data.find(b"\n", place)
    line = data[begin : end if end >= 0 else len(data)]
    return any(mark in line for mark in ALLOWED)


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


_BY_WORD: Final = [(word, rule) for rule in RULES for word in rule.words]
_GENERIC: Final = Rule(GENERIC, "secret in the source", Severity.MEDIUM, _WORDS, _ASSIGNED, shown=0)
