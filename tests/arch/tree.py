"""Reads the repository as files: what the tests in this folder look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ROOT / "services"
LIBS = ROOT / "libs"
GENERATED = (LIBS / "protogen" / "lightrail", LIBS / "protogen" / "envoy")
# Made by tools or at run time; never part of the house.
_PASSING = re.compile(r"^(\..*|__pycache__|node_modules|.*\.egg-info)$")
_KEPT_HIDDEN = {".ci", ".gitignore"}
_TEXT = {".py", ".md", ".toml", ".proto", ".sql", ".html", ".yaml", ".yml", ".json", ".txt", ".js", ".css", ".sh", ""}


def files(below: Path = ROOT) -> Iterator[Path]:
    """Gives every file of the house below a folder, in order, without generated code."""
    for path in sorted(below.iterdir()):
        if _PASSING.match(path.name) and path.name not in _KEPT_HIDDEN:
            continue
        if path.is_dir():
            if path not in GENERATED:
                yield from files(path)
        else:
            yield path


def texts() -> Iterator[tuple[Path, str]]:
    """Gives every text file with its content."""
    for path in files():
        if path.suffix in _TEXT:
            yield path, path.read_text(encoding="utf-8")


def sources(below: Path = ROOT) -> Iterator[Path]:
    """Gives every Python file of the house below a folder."""
    return (path for path in files(below) if path.suffix == ".py")


def folders(below: Path) -> list[str]:
    """Names the folders directly below one that hold at least one file, sorted."""
    return sorted(
        path.name
        for path in below.iterdir()
        if path.is_dir()
        and not (_PASSING.match(path.name) and path.name not in _KEPT_HIDDEN)
        and next(files(path), None) is not None
    )


def services() -> list[str]:
    """Names the services, sorted."""
    return folders(SERVICES)


def name(path: Path) -> str:
    """Gives a path as people write it: from the repository's root."""
    return str(path.relative_to(ROOT))
