"""A directory as data: its paths, and a function that gives a file's text."""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from libs.plans.faults import BuildFault

# Directories that hold no source: what tools made, not what people wrote.
UNWRITTEN: Final = frozenset(
    {
        ".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", ".tox", ".nox", ".mypy_cache",
        ".pytest_cache", ".ruff_cache", "site-packages", ".next", ".cache",
    }
)  # fmt: skip
# What editors on Windows put before a text, and how the text goes on.
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True)
class Tree:
    """Files of a directory, by their path from it with forward slashes."""

    files: frozenset[str]
    # Gives a file's text; called only with members of `files`.
    read: Callable[[str], str]

    def has(self, *paths: str) -> bool:
        """Whether one of these files is there."""
        return any(path in self.files for path in paths)

    def first(self, *paths: str) -> str | None:
        """The first of these files that is there."""
        return next((path for path in paths if path in self.files), None)

    def within(self, folder: str) -> list[str]:
        """Files somewhere below `folder`, sorted."""
        return sorted(path for path in self.files if path.startswith(folder.rstrip("/") + "/"))

    def ending(self, suffix: str, *, depth: int) -> list[str]:
        """Files whose name ends so, at most `depth` folders down; nearest first, then by name."""
        found = (path for path in self.files if path.endswith(suffix) and path.count("/") <= depth)
        return sorted(found, key=lambda path: (path.count("/"), path))

    def below(self, folder: str) -> Tree:
        """The same tree seen from one of its folders. BuildFault when there is no such folder."""
        start = plain_folder(folder)
        if not start:
            return self
        if ".." in start.split("/"):
            raise BuildFault(f"The root directory “{folder}” leaves the source.", field="root_directory")
        prefix = start + "/"
        inside = frozenset(path[len(prefix) :] for path in self.files if path.startswith(prefix))
        if not inside:
            raise BuildFault(
                f"The root directory “{folder}” is not in the source, or is empty.",
                field="root_directory",
                hint="Set root_directory to a folder of the upload.",
            )
        read = self.read
        return Tree(inside, lambda path: read(prefix + path))

    def json(self, path: str) -> dict[str, Any]:
        """A JSON object. BuildFault naming the file and line when it is none."""
        return json_object(path, self.read(path))

    def toml(self, path: str) -> dict[str, Any]:
        """A TOML document. BuildFault naming the file and line when it is none."""
        try:
            return tomllib.loads(self.read(path))
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line (\d+)", str(error))
            place = f"{path}, line {line[1]}" if line else f"{path}, last line"
            raise BuildFault(f"{place}: this is no valid TOML ({error}).") from error
        except RecursionError as error:
            raise BuildFault(f"{path}: this TOML is nested too deeply to read.") from error
        except ValueError as error:
            raise BuildFault(f"{path}: a number in it has too many digits to read.") from error


def json_object(path: str, content: str) -> dict[str, Any]:
    """The JSON object in a file's text. BuildFault naming the file and line when it is none."""
    try:
        value = json.loads(content)
    except json.JSONDecodeError as error:
        raise BuildFault(f"{path}, line {error.lineno}: this is no valid JSON ({error.msg}).") from error
    except RecursionError as error:
        raise BuildFault(f"{path}: this JSON is nested too deeply to read.") from error
    except ValueError as error:
        raise BuildFault(f"{path}: a number in it has too many digits to read.") from error
    if not isinstance(value, dict):
        raise BuildFault(f"{path}, line 1: an object was expected, this is a {type(value).__name__}.")
    return value


def is_marked(content: bytes) -> bool:
    """Whether a byte order mark says how the text is written."""
    return content.startswith(tuple(mark for mark, _ in _MARKS))


def decoded(content: bytes) -> str:
    """The text in a file: UTF-8, or what its byte order mark says; bytes that are neither become “\ufffd”."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    return content.decode("utf-8", errors="replace")


def plain_folder(folder: str) -> str:
    """A folder of the source as written by a person ("/web/", "./web"), without what says nothing; empty: the root."""
    return "/".join(part for part in folder.split("/") if part not in {"", "."})


def tree_of(files: dict[str, str]) -> Tree:
    """A tree of texts in memory."""
    return Tree(frozenset(files), lambda path: files[path])


def written(paths: Iterable[str]) -> frozenset[str]:
    """Leaves out what lies in directories that hold no source."""
    return frozenset(path for path in paths if UNWRITTEN.isdisjoint(path.split("/")[:-1]))
