"""How things are said: sentences and tables for people, JSON for programs, colour only on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

_CODES: Final = {"dim": "2", "bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
TONES: Final = {"active": "green", "failed": "red", "crashed": "red", "removed": "dim", "skipped": "dim"}


def say(text: str = "") -> None:
    """Writes a line for the person."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Writes a line beside the output, to standard error."""
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def emit(value: object) -> None:
    """Writes a value as indented JSON."""
    import msgspec  # noqa: PLC0415 - only where JSON is asked for

    say(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def emit_line(value: object) -> None:
    """Writes a value as one line of JSON: for streams."""
    import msgspec  # noqa: PLC0415 - only where JSON is asked for

    say(msgspec.json.encode(value).decode())


def is_terminal() -> bool:
    """Whether a person watches the output."""
    return sys.stdout.isatty()


def can_ask() -> bool:
    """Whether a person can be asked: both directions are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def styled(text: str, *styles: str) -> str:
    """The text in these styles on a terminal that shows them; else as it is."""
    if not is_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    codes = ";".join(_CODES[style] for style in styles if style in _CODES)
    return f"\x1b[{codes}m{text}\x1b[0m" if codes else text


def state(name: str) -> str:
    """A deployment's state in its colour."""
    return styled(name, TONES.get(name, "yellow"))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes a table as wide as it must be; on a terminal as wide as that allows."""
    from rich.console import Console  # noqa: PLC0415 - a tenth of a second that only tables cost
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell, style=TONES.get(cell, "")) for cell in row))
    if is_terminal():
        Console(highlight=False).print(grid, crop=False)
        return
    console = Console(width=10_000, highlight=False, no_color=True)
    with console.capture() as written:
        console.print(grid, crop=False)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in written.get().splitlines())


def moment(time: datetime | None) -> str:
    """A time as this machine's clocks show it; empty for none."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else ""


def ask(question: str, default: str = "") -> str:
    """What the person answers; `default` for an empty line. Call only when `can_ask()`."""
    shown = f" [{default}]" if default else ""
    sys.stderr.write(f"{question}{shown}: ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise KeyboardInterrupt
    return line.strip() or default


def agreed(question: str, *, otherwise: bool) -> bool:
    """Whether the person says yes; `otherwise` for an empty line."""
    answer = ask(f"{question} [{'Y/n' if otherwise else 'y/N'}]").lower()
    return answer in ("y", "yes") if answer else otherwise


def choose(question: str, names: Sequence[str]) -> int:
    """The index of what the person picks from a list, by number or name."""
    for number, name in enumerate(names, 1):
        sys.stderr.write(f"  {number}. {name}\n")
    while True:
        answer = ask(question, "1")
        if answer.isdigit() and 1 <= int(answer) <= len(names):
            return int(answer) - 1
        if answer in names:
            return names.index(answer)
        sys.stderr.write(f"  Write a number from 1 to {len(names)}.\n")


def plain(value: Any) -> object:  # noqa: ANN401 - whatever can be JSON
    """A value as plain dicts and lists, to put beside other things in one JSON value."""
    import msgspec  # noqa: PLC0415 - only where JSON is asked for

    return msgspec.to_builtins(value)
