"""Reads `.env` files as Docker Compose does: the same keys, the same values.

Beyond Compose, a Lightrail reference (`${{service.NAME}}`) is kept as it is, for the platform to resolve.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from libs.kernel.errors import Invalid

# White space that does not end a line.
_BLANK: Final = "\t\v\f\r \x85\xa0"
_SPACE: Final = _BLANK + "\n\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_EXPORT: Final = re.compile(r"export[\t\n\f\r ]+")
_ESCAPE: Final = re.compile(r"\\(?:[abcfnrtv$\"\\]|0\d{0,3})")
_ESCAPED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}
_OCTAL: Final = re.compile(r"[0-3][0-7]{2}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR: Final = re.compile(r":?[-+?]")
_IN_NAMES: Final = "_.-[]"
_SHOWN: Final = 60


def parse(text: str, outside: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the variables of a `.env` file in their order.

    `outside` is asked before the file itself for what `$NAME` means, and gives the value of a name that stands alone
    on its line; such a name without a value, and one that starts with a digit, is left out. Invalid names the line
    that cannot be read.
    """
    return _Reader(text.removeprefix("\ufeff") + "\n", outside or {}).read()


class _Reader:
    def __init__(self, text: str, outside: Mapping[str, str]) -> None:
        self._text = text
        self._outside = outside
        self._at = 0
        self._found: dict[str, str] = {}

    def read(self) -> dict[str, str]:
        while self._next_statement():
            self._statement()
        return {name: value for name, value in self._found.items() if name[0] not in "0123456789"}

    def _next_statement(self) -> bool:
        while True:
            self._skip(_SPACE)
            if self._at >= len(self._text):
                return False
            if self._text[self._at] != "#":
                return True
            self._at = self._text.index("\n", self._at)

    def _statement(self) -> None:
        if match := _EXPORT.match(self._text, self._at):
            self._at = match.end()
        start = self._at
        name, separator = self._name()
        if re.search(r"\s", name):
            raise self._wrong(start, f"the name “{_short(name)}” has a space in it")
        if not name:
            raise self._wrong(start, f"there is no name before “{separator}”")
        if separator == "\n":
            if name in self._outside:
                self._found[name] = self._outside[name]
            return
        self._skip(_BLANK)
        self._found[name] = self._value()

    def _name(self) -> tuple[str, str]:
        """The name at this place and what ends it; reading goes on behind that."""
        start = self._at
        for index in range(start, len(self._text)):
            character = self._text[index]
            if character in "=:\n":
                self._at = index + 1
                return self._text[start:index].rstrip(_SPACE), character
            if not (character.isalnum() or character in _IN_NAMES or character in _BLANK):
                line = self._text[start : self._text.index("\n", start)]
                raise self._wrong(start, f"“{_short(line)}” has “{character}” where a name stands")
        raise self._wrong(start - 1, "there is no name behind “export”")

    def _value(self) -> str:
        start = self._at
        quote = self._text[start]
        if quote not in "'\"":
            end = self._text.index("\n", start)
            self._at = end + 1
            value = self._text[start:end].partition(" #")[0].rstrip(_SPACE)
            return self._substituted(value, start)
        value = self._quoted(quote)
        return value if quote == "'" else self._substituted(_ESCAPE.sub(_unescaped, value), start)

    def _quoted(self, quote: str) -> str:
        """The text between quotes, an escaped quote being one of its characters."""
        start = self._at
        characters: list[str] = []
        escaping = False
        for index in range(start + 1, len(self._text)):
            character = self._text[index]
            if character == quote and not escaping:
                self._at = index + 1
                return "".join(characters)
            if character == "\\" and not escaping:
                escaping = True
                continue
            if escaping and character != quote:
                characters.append("\\")
            characters.append(character)
            escaping = False
        raise self._wrong(start, f"the quote {quote} is never closed")

    def _substituted(self, value: str, start: int) -> str:
        """The value with what `$` stands for put in."""
        out: list[str] = []
        at = 0
        while (dollar := value.find("$", at)) >= 0:
            out.append(value[at:dollar])
            at = dollar + 1
            if value.startswith("${{", dollar) and (end := value.find("}}", dollar)) >= 0:
                out.append(value[dollar : end + 2])
                at = end + 2
            elif value.startswith("$", at):
                out.append("$")
                at += 1
            elif value.startswith("{", at):
                text, at = self._braced(value, at, start)
                out.append(text)
            elif match := _NAME.match(value, at):
                out.append(self._lookup(match[0]) or "")
                at = match.end()
            else:
                out.append("$")
        return "".join([*out, value[at:]])

    def _braced(self, value: str, at: int, start: int) -> tuple[str, int]:
        """What `{…}` at this place stands for, and where it ends."""
        end = _closing(value, at)
        inner = value[at + 1 : end] if end is not None else ""
        name = _NAME.match(inner)
        operator = _OPERATOR.match(inner, name.end()) if name else None
        if end is None or name is None or (operator is None and name.end() < len(inner)):
            raise self._wrong(start, f"“{_short('$' + value[at:])}” is no variable", hint="Write $$ for a dollar sign.")
        known = self._lookup(name[0])
        if operator is None:
            return known or "", end + 1
        argument = inner[operator.end() :]
        there = known is not None and not (operator[0].startswith(":") and known == "")
        if operator[0].endswith("+"):
            return self._substituted(argument, start) if there else known or "", end + 1
        if there:
            return known or "", end + 1
        if operator[0].endswith("?"):
            raise self._wrong(start, f"{name[0]} has no value: {_short(self._substituted(argument, start))}")
        return self._substituted(argument, start), end + 1

    def _lookup(self, name: str) -> str | None:
        return self._outside[name] if name in self._outside else self._found.get(name)

    def _skip(self, characters: str) -> None:
        while self._at < len(self._text) and self._text[self._at] in characters:
            self._at += 1

    def _wrong(self, at: int, why: str, hint: str | None = None) -> Invalid:
        return Invalid(f"line {self._text.count(chr(10), 0, at) + 1}: {why}.", hint=hint)


def _closing(value: str, at: int) -> int | None:
    depth = 0
    for index in range(at, len(value)):
        depth += {"{": 1, "}": -1}.get(value[index], 0)
        if depth == 0:
            return index
    return None


def _unescaped(match: re.Match[str]) -> str:
    """What an escape in double quotes means; one that means nothing stays as it is."""
    code = match[0][1:]
    if code == "$":
        return "$$"  # to the substitution that follows, this is a dollar sign
    if code.startswith("0"):
        digits = code[1:]
        return chr(int(digits, 8)) if _OCTAL.fullmatch(digits) else f"\\{digits}"
    return _ESCAPED.get(code, match[0])


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
