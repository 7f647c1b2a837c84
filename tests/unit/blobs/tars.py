"""Archives as an attacker would make them."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import zstandard


def entry(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=kind, linkname=target)


def tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def stored(folder: Path, content: bytes, form: str = "plain") -> Path:
    path = folder / "archive"
    if form == "gzip":
        content = gzip.compress(content, mtime=0)
    elif form == "zstd":
        content = zstandard.ZstdCompressor().compress(content)
    path.write_bytes(content)
    return path


def seen(folder: Path) -> dict[str, str]:
    """What is in a folder, by name: content of files, "->target" of links, "/" of directories."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"->{path.readlink()}"
        else:
            found[name] = "/" if path.is_dir() else path.read_bytes().decode(errors="surrogateescape")
    return found
