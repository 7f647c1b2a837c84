"""Reads the tar format from a stream, trusting nothing it says: bounded memory, every field checked."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from libs.kernel.errors import Invalid

BLOCK: Final = 512
_EXTRA: Final = 1024 * 1024  # bytes that names, links and attributes of one entry may take
_PAX: Final = {b"x", b"g"}
_LONG: Final = {b"L": "path", b"K": "linkpath"}
_KINDS: Final = {b"0": "file", b"\0": "file", b"7": "file", b"1": "hardlink", b"2": "symlink", b"5": "directory"}
_REFUSED: Final = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"S": "a sparse file",
    b"M": "a part of another volume",
    b"V": "a volume label",
}
_HIGH_BIT: Final = 0x80


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in an archive, as the archive claims; `kind` is file, directory, symlink or hardlink."""

    name: bytes
    kind: str
    size: int
    executable: bool
    link: bytes = b""


Read = Callable[[int], bytes]


def entries(read: Read, tick: Callable[[], None]) -> Iterator[tuple[Entry, Read]]:
    """Yields each entry with a reader of its own bytes, some of which may be left unread.

    `read(n)` gives n bytes, fewer only at the end. `tick` is called for each header, before anything is believed.
    Invalid when this is no tar, is cut short, or holds what no application needs (devices, pipes, sparse files).
    """
    shared: dict[str, bytes] = {}
    own: dict[str, bytes] = {}
    begun = False
    while True:
        header = _exactly(read, BLOCK) if begun else _first(read)
        begun = True
        if header == bytes(BLOCK):
            return
        tick()
        _check_sum(header)
        kind = header[156:157]
        size = _number(own["size"]) if "size" in own else _field(header[124:136])
        if kind in _PAX | _LONG.keys():
            extra = _exactly(read, _padded(_bounded(_field(header[124:136]))))[: _field(header[124:136])]
            if kind in _LONG:
                own[_LONG[kind]] = extra.split(b"\0", 1)[0]
            else:
                (own if kind == b"x" else shared).update(_records(extra))
            continue
        entry = _entry(header, kind, size, {**shared, **own})
        own = {}
        part = _Part(read, entry.size)
        yield entry, part
        part.skip()


class _Part:
    """Reads no further than one entry reaches."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._left = size
        self._padding = _padded(size) - size

    def __call__(self, wanted: int) -> bytes:
        chunk = self._read(min(wanted, self._left)) if self._left else b""
        if not chunk and self._left and wanted:
            raise Invalid("The archive is cut short.")
        self._left -= len(chunk)
        return chunk

    def skip(self) -> None:
        while self._left:
            self(64 * 1024)
        _exactly(self._read, self._padding)


def _entry(header: bytes, kind: bytes, size: int, extra: dict[str, bytes]) -> Entry:
    name = _text(header[0:100])
    if header[257:263] == b"ustar\0" and (prefix := _text(header[345:500])):
        name = prefix + b"/" + name
    name = extra.get("path", name)
    link = extra.get("linkpath", _text(header[157:257]))
    shown = name.decode(errors="backslashreplace")[:200]
    if any(key.startswith("GNU.sparse.") for key in extra):
        kind = b"S"
    if kind in _REFUSED:
        raise Invalid(f"The archive holds {_REFUSED[kind]} (“{shown}”), which no application needs.")
    if kind not in _KINDS:
        raise Invalid(f"The archive holds something of an unknown kind (“{shown}”).")
    meant = "directory" if kind in {b"0", b"\0"} and name.endswith(b"/") else _KINDS[kind]
    if not name or b"\0" in name or (meant in {"symlink", "hardlink"} and (not link or b"\0" in link)):
        raise Invalid(f"The archive holds an entry with an empty or broken name (“{shown}”).")
    executable = bool(_field(header[100:108]) & 0o111)
    return Entry(name, meant, size if meant == "file" else 0, executable, link)


def _records(text: bytes) -> dict[str, bytes]:
    """Reads the records of a pax header: length, space, key=value, end of line."""
    found: dict[str, bytes] = {}
    while text:
        digits, space, _ = text.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 10 else 0  # noqa: PLR2004 - far above any bound
        record = text[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if not space or not equals or not key or not record.endswith(b"\n") or length > len(text):
            raise Invalid("The archive holds a broken extended header.")
        found[key.decode(errors="backslashreplace")] = value[:-1]
        text = text[length:]
    return found


def _field(field: bytes) -> int:
    """Reads a number: octal digits, or base 256 when the highest bit is set."""
    if field[0] & _HIGH_BIT:
        if field[0] != _HIGH_BIT:
            raise Invalid("The archive holds a negative or absurd number.")
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise Invalid("The archive holds a number that is none.")
    return int(digits, 8) if digits else 0


def _number(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 18:  # noqa: PLR2004 - fits 63 bits
        raise Invalid("The archive holds a number that is none.")
    return int(digits)


def _check_sum(header: bytes) -> None:
    blanked = header[:148] + b" " * 8 + header[156:]
    right = {sum(blanked), sum(struct.unpack(f"{BLOCK}b", blanked))}
    claimed = header[148:156].split(b"\0", 1)[0].strip(b" ")
    if not claimed or claimed.strip(b"01234567") or int(claimed, 8) not in right:
        raise Invalid("This is no tar archive, or it is damaged.", field="archive")


def _bounded(size: int) -> int:
    if size > _EXTRA:
        raise Invalid("The archive holds a name or attribute larger than 1 MiB.")
    return size


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _first(read: Read) -> bytes:
    """The header that an archive begins with; Invalid tells something else from an archive that is cut in there."""
    found = b""
    while len(found) < BLOCK and (chunk := read(BLOCK - len(found))):
        found += chunk
    if len(found) == BLOCK:
        return found
    if not found or found[257:262] == b"ustar":
        raise Invalid("The archive is cut short.", field="archive")
    raise Invalid(
        "This is no tar archive, neither a plain one nor one packed with gzip or zstd.",
        field="archive",
        hint="Make one in the directory of the source: tar -czf ../source.tar.gz .",
    )


def _exactly(read: Read, size: int) -> bytes:
    found = b""
    while len(found) < size:
        chunk = read(size - len(found))
        if not chunk:
            raise Invalid("The archive is cut short.", field="archive")
        found += chunk
    return found
