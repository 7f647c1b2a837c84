"""Tells a secret from what only looks like one."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import Final

_PLACEHOLDERS: Final = re.compile(
    r"example|sample|change.?me|placeholder|your|insert|replace|dummy|fake|foobar|default|xxxx|abcdef|12345|qwerty|"
    r"secret|password|passwd|token|not.?real|redacted|deadbeef|\.\.\.|\*\*\*",
    re.IGNORECASE,
)
# Written by hand for a machine of one's own.
_EVERYDAY: Final = frozenset(
    {
        "admin", "app", "changeit", "db", "dev", "development", "docker", "guest", "hunter2", "letmein", "local",
        "minio", "minioadmin", "mongo", "mysql", "none", "null", "pass", "postgres", "postgresql", "pwd", "rabbitmq",
        "redis", "root", "test", "testing", "toor", "user", "username", "welcome",
    }
)  # fmt: skip
_VARIABLE: Final = re.compile(r"[$%{}<>()\[\]`\\]|^@|^:|^process\.|^os\.|^env[.(]", re.IGNORECASE)
_PLACE: Final = re.compile(r"^(?:/|\./|\.\./|~/|[a-z]:\\|[a-z][a-z0-9+.-]{0,20}://)|@[a-z0-9-]{1,60}\.", re.IGNORECASE)
_DOTTED: Final = re.compile(r"^[A-Za-z_]\w{0,60}(?:\.[A-Za-z_]\w{0,60}){1,10}$")
_NAMED: Final = re.compile(r"^[A-Za-z]{1,40}(?:[-_./ ][A-Za-z]{1,40}){0,20}[0-9]{0,2}$")
_HOST: Final = re.compile(r"^(?:localhost|127\.|0\.0\.0\.0|\[?::1|host\.docker|[^.]{1,63}(?:$|[:/]))", re.IGNORECASE)
_EXAMPLE_HOST: Final = re.compile(
    r"(?:^|\.)(?:example|test|invalid|localhost|local|internal)(?:\.[a-z]{2,6})?$", re.IGNORECASE
)
# Bits a letter: what a random key of this length has at least, and what words have at most.
_RANDOM: Final = 3.6
_RANDOM_HEX: Final = 3.0
_SHORTEST: Final = 16


def entropy(text: str) -> float:
    """Shannon's entropy in bits a letter."""
    if not text:
        return 0.0
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def is_key(value: str) -> bool:
    """Whether something assigned to a name like "api_key" is one, and not a word, a path or a variable."""
    if len(value) < _SHORTEST or _PLACEHOLDERS.search(value) or _VARIABLE.search(value) or _PLACE.search(value):
        return False
    if _DOTTED.match(value) or _NAMED.match(value) or _in_sequence(value):
        return False
    if not any(letter.isdigit() for letter in value) or not any(letter.isalpha() for letter in value):
        return False
    hexadecimal = all(letter in "0123456789abcdefABCDEF-" for letter in value)
    return entropy(value) >= (_RANDOM_HEX if hexadecimal else _RANDOM)


def is_token(value: str, least: float) -> bool:
    """Whether something in a known format is more than a picture of the format."""
    return entropy(value) >= least and not re.search(r"example|xxxxx|\.\.\.|12345678|abcdefgh", value, re.IGNORECASE)


def is_password(user: str, password: str, host: str) -> bool:
    """Whether the password of an address is one that protects something."""
    if _VARIABLE.search(password) or set(password) <= set("*x.•-_") or password.lower() in {user.lower(), *_EVERYDAY}:
        return False
    if _PLACEHOLDERS.search(password) or (_NAMED.match(password) and _EXAMPLE_HOST.search(host)):
        return False
    if _HOST.match(host) or _EXAMPLE_HOST.search(host.partition(":")[0]):
        # On the machine itself only what nobody would type by hand.
        return len(password) >= _SHORTEST and entropy(password) >= _RANDOM_HEX and not _NAMED.match(password)
    return True


def _in_sequence(value: str) -> bool:
    steps = sum(1 for one, other in pairwise(value) if ord(other) - ord(one) in {0, 1})
    return steps > len(value) / 2
