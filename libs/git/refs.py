"""Names of branches, tags and commits: checked by git's own rules, so that none can be taken for an option."""

from __future__ import annotations

import re
from typing import Final

from libs.kernel.errors import Invalid

LONGEST: Final = 250
HEADS: Final = "refs/heads/"
TAGS: Final = "refs/tags/"
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")
_COMMIT: Final = re.compile(r"^[0-9a-f]{7,64}$")
_WHOLE: Final = re.compile(r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$")


def ref_name(text: str, *, field: str = "ref") -> str:
    """Returns the name of a branch, tag or commit as it is. Invalid when git knows no such names."""
    wrong = (
        not text
        or len(text) > LONGEST
        or _FORBIDDEN.search(text)
        or text.startswith(("-", "/", "."))
        or text.endswith(("/", "."))
        or text == "@"
    )
    if wrong:
        raise Invalid(f"“{text[:80]}” is no name of a branch, a tag or a commit.", field=field)
    return text


def branch_of(text: str) -> str:
    """The short name of a branch: “main” for “refs/heads/main”; empty when it is none."""
    return text.removeprefix(HEADS) if text.startswith(HEADS) else ""


def may_be_commit(text: str) -> bool:
    """Whether it reads like a commit, whole or its first seven digits at least."""
    return bool(_COMMIT.match(text))


def is_commit(text: str) -> bool:
    """Whether it reads like a whole commit."""
    return bool(_WHOLE.match(text))
