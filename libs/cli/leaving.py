"""What is said to somebody who leaves with Ctrl-C before there is a deployment to follow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from libs.cli import screen

if TYPE_CHECKING:
    from types import TracebackType


class Leaving:
    """Around the work before a deployment is known: says what has become of it when that work is cancelled.

    It does not end the cancellation, which is what makes the exit code.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._asked = False

    def asking(self) -> None:
        """From now on the platform may have been asked, whether or not its answer came."""
        self._asked = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or not issubclass(kind, asyncio.CancelledError):
            return
        message = (
            "The deployment may have been asked for, and goes on then." if self._asked else "Nothing was deployed."
        )
        hint = "Look: lr deployments" if self._asked else "Start again with: lr up"
        if self._json:
            told = {"type": "detached", "deployment_id": None, "state": None, "asked": self._asked}
            screen.emit_line({**told, "message": message, "hint": hint})
        else:
            screen.note(f"\n{message}\n  {hint}")
