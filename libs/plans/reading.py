"""What a file that people wrote says, with warnings about what it says in vain."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from libs.plans.faults import BuildFault, speakable
from libs.plans.versions import alias, is_constraint

# Keys of one file: a table of them, KNOWN when used, ELSEWHERE when the platform has it in another place.
KNOWN: Final = "known"
ELSEWHERE: Final = "elsewhere"
Keys = Mapping[str, Any]
# Below this key any name may stand.
ANY: Final = "*"
# What people call a value.
_KINDS: Final = {str: "a text", int: "a number", float: "a number", bool: "true or false", list: "a list",
                 dict: "a table"}  # fmt: skip


@dataclass(slots=True)
class Reading:
    """One file, read: values by the names of PlanSettings' fields."""

    file: str
    text: str
    document: Mapping[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def line_of(self, key: str) -> str:
        """The file with the line where a key stands, looked for below its table; as far as that can be seen."""
        end: int | None = 0
        for part in key.split("."):
            end = _end_of(part, self.text, end) if end is not None else None
        if end is None:
            end = _end_of(key.rsplit(".", 1)[-1], self.text, 0)
        number = 0 if end is None else self.text.count("\n", 0, end) + 1
        return f"{self.file}, line {number}" if number else self.file

    def table(self, *path: str) -> Mapping[str, Any]:
        """A table inside the document; empty when it is not there. BuildFault when something else is."""
        found: Any = self.document
        for depth, name in enumerate(path, start=1):
            found = found.get(name)
            if found is None:
                return {}
            if not isinstance(found, dict):
                key = ".".join(path[:depth])
                raise BuildFault(f"{self.line_of(key)}: “{key}” must be a table, this is {_kind(found)}.")
        return dict(found)

    def text_at(self, *path: str) -> str:
        """A text inside the document; empty when it is not there. BuildFault when it is no text."""
        value = self.table(*path[:-1]).get(path[-1])
        if value is None:
            return ""
        if not isinstance(value, str):
            key = ".".join(path)
            raise BuildFault(
                f"{self.line_of(key)}: “{key}” must be a text, this is {_kind(value)}.",
                hint="Write it in quotes." if _kind(value) == "a number" else None,
            )
        return value.strip()

    def version_at(self, name: str, *path: str) -> str:
        """The versions of a runtime that are allowed; empty: any. BuildFault naming the line of what is none."""
        said = self.text_at(*path)
        self._check_version(name, said, ".".join(path))
        known = alias(said)
        return said if known is None else known

    def versions_at(self, *path: str) -> dict[str, str]:
        """Versions by the name of a runtime or tool. BuildFault naming the line of what is none."""
        found = self.texts_at(*path)
        for name, said in found.items():
            self._check_version(name, said, ".".join((*path, name)))
        return found

    def _check_version(self, name: str, said: str, key: str) -> None:
        if not is_constraint(said, name):
            raise BuildFault(
                f"{self.line_of(key)}: “{said[:80]}” is no version of {name}.", hint="Write its number, or “latest”."
            )

    def command_at(self, *path: str) -> str:
        """One command, or several in a list, as one line for a shell."""
        value = self.table(*path[:-1]).get(path[-1])
        if isinstance(value, list):
            parts = [part.get("cmd") if isinstance(part, dict) else part for part in value]
            return " && ".join(part.strip() for part in parts if isinstance(part, str) and part.strip())
        return self.text_at(*path)

    def texts_at(self, *path: str) -> dict[str, str]:
        """A table of names and plain values, as texts."""
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in self.table(*path).items()
            if isinstance(value, (str, int, float, bool))
        }

    def set(self, name: str, value: object) -> None:
        """Notes a value, unless it says nothing."""
        if value:
            self.values[name] = value

    def judge(self, keys: Keys) -> None:
        """Warns about every key that has no effect, by its name and line."""
        self._judge(self.document, keys, "")

    def _judge(self, table: Mapping[str, Any], keys: Keys, above: str) -> None:
        for name, value in table.items():
            key = speakable(f"{above}{name}")
            known = keys.get(name, keys.get(ANY))
            if known is None:
                near = difflib.get_close_matches(name, [one for one in keys if one != ANY], n=1)
                meant = f" Did you mean “{above}{near[0]}”?" if near else ""
                self.warnings.append(f"{self.line_of(key)}: the key “{key}” is not known, so it has no effect.{meant}")
            elif known == ELSEWHERE:
                self.warnings.append(
                    f"{self.line_of(key)}: “{key}” is not taken from this file; use the service's settings for it."
                )
            elif isinstance(known, dict) and isinstance(value, dict):
                self._judge(value, known, f"{key}.")


def _kind(value: object) -> str:
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def _end_of(name: str, text: str, start: int) -> int | None:
    """Where this name ends, from `start` on the first time that it is a key or a table."""
    found = re.compile(rf"(?<![\w-])[\"']?{re.escape(name)}[\"']?(?![\w-])(?=[ \t]*[\]=:.])").search(text, start)
    return found.end() if found else None
