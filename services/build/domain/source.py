"""What is built when nothing was uploaded: a commit of a repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GitWish:
    """What is to be fetched. Without an url it is a push that the platform received."""

    url: str = ""
    # Branch, tag or commit; empty: the repository's default branch.
    ref: str = ""
    push_id: str = ""
    # The commit that is live: unless a watched file changed since, nothing is built. Empty: it is built anyway.
    base_commit: str = ""

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def wish_of(document: Mapping[str, Any]) -> GitWish:
    """The wish that `document()` described."""
    return GitWish(**document)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: its hash, the first line of its message, its author's name."""

    sha: str
    message: str
    author: str


class NothingChanged(Exception):  # noqa: N818 - no error: a build that has nothing to do
    """No watched file has changed since what is live; its text says so to people."""
