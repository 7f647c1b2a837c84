"""Which changed files matter: patterns as in .gitignore, which name what is watched.

One rule is kinder than git's: the last pattern that matches decides, also below a folder that an earlier one named,
so that `src/` with `!src/docs/` watches all of `src` but its documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pathspec import GitIgnoreSpec

from libs.kernel.errors import Invalid

MOST: Final = 100
LONGEST: Final = 500


def checked(patterns: Sequence[str], *, field: str = "watch_paths") -> tuple[str, ...]:
    """Returns the patterns without empty ones. Invalid when there are too many, or one is no pattern."""
    kept = tuple(pattern.strip() for pattern in patterns if pattern.strip())
    if len(kept) > MOST:
        raise Invalid(f"There are {len(kept)} watched paths; there may be {MOST}.", field=field)
    for pattern in kept:
        if len(pattern) > LONGEST or any(character < " " or character == "\x7f" for character in pattern):
            raise Invalid(f"“{pattern[:80]}” is no pattern of paths.", field=field)
    try:
        GitIgnoreSpec.from_lines(kept)
    except ValueError as error:
        raise Invalid(f"A watched path cannot be read: {error}.", field=field) from error
    return kept


def touched(patterns: Sequence[str], changed: Iterable[str]) -> bool:
    """Whether one of the changed files is watched; without patterns every file is."""
    if not patterns:
        return True
    judges = [(pattern[:1] != "!", GitIgnoreSpec.from_lines([pattern.removeprefix("!")])) for pattern in patterns]
    judges.reverse()
    return any(next((watched for watched, spec in judges if spec.match_file(path)), False) for path in changed)
