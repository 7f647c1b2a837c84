"""Images as one archive that container engines load (`docker load`, `buildah pull docker-archive:`).

Everything is a function of the content: the same layers and settings give the same image id.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

# Seconds since 1970 that every file and image bears: 2023-01-01, before any file that goes in.
EPOCH: Final = 1_672_531_200
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class LayerFile:
    """An unpacked layer: a tar on disk, and the digest that images name it by."""

    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image: what it is called, its layers from the bottom up, and its settings."""

    name: str
    layers: Sequence[LayerFile]
    # PATH and the like.
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def layer_of(path: Path) -> LayerFile:
    """The layer in a tar."""
    with path.open("rb") as file:
        return LayerFile(path, "sha256:" + hashlib.file_digest(file, "sha256").hexdigest())


def write_layer(path: Path, entries: Mapping[str, Path | str | bytes]) -> LayerFile:
    """Writes a layer of root's files: content by place; a text is the target of a link, a Path a file or a folder."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        made: set[str] = set()
        for place, content in sorted(entries.items()):
            _folders(tar, place, made)
            if isinstance(content, str):
                info = _entry(place, tarfile.SYMTYPE, 0o777)
                info.linkname = content
                tar.addfile(info)
            elif isinstance(content, bytes):
                _file(tar, place, io.BytesIO(content), len(content), executable=True)
            else:
                _add(tar, content, place, made)
    return layer_of(path)


def write_archive(path: Path, images: Sequence[Image], machine: str) -> dict[str, str]:
    """Writes all images into one archive and returns their ids by name; `machine` is as in `uname -m`."""
    manifest, ids = [], {}
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        written: set[str] = set()
        for image in images:
            config = _config(image, _MACHINES.get(machine, machine))
            ident = hashlib.sha256(config).hexdigest()
            ids[image.name] = f"sha256:{ident}"
            _file(tar, f"{ident}.json", io.BytesIO(config), len(config))
            places = []
            for layer in image.layers:
                place = f"{layer.digest.removeprefix('sha256:')}.tar"
                places.append(place)
                if place not in written:
                    written.add(place)
                    with layer.path.open("rb") as file:
                        _file(tar, place, file, layer.path.stat().st_size)
            manifest.append({"Config": f"{ident}.json", "RepoTags": [image.name], "Layers": places})
        text = json.dumps(manifest).encode()
        _file(tar, "manifest.json", io.BytesIO(text), len(text))
    return ids


def _config(image: Image, architecture: str) -> bytes:
    created = datetime.fromtimestamp(EPOCH, UTC).isoformat().replace("+00:00", "Z")
    document: dict[str, Any] = {
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": {
            "Env": [f"{name}={value}" for name, value in image.environment.items()],
            "Cmd": ["/bin/sh"],
            "Labels": dict(image.labels),
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in image.layers]},
        "history": [{"created": created, "created_by": "lr platform stack build"} for _ in image.layers],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _add(tar: tarfile.TarFile, source: Path, place: str, made: set[str]) -> None:
    """A file, or a folder with all below it."""
    if source.is_symlink():
        info = _entry(place, tarfile.SYMTYPE, 0o777)
        info.linkname = str(source.readlink())
        tar.addfile(info)
    elif source.is_dir():
        _folders(tar, f"{place}/.", made)
        for below in sorted(source.iterdir()):
            _add(tar, below, f"{place}/{below.name}", made)
    else:
        status = source.stat()
        with source.open("rb") as file:
            _file(tar, place, file, status.st_size, executable=bool(status.st_mode & 0o100))


def _folders(tar: tarfile.TarFile, place: str, made: set[str]) -> None:
    parts = place.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        folder = "/".join(parts[:depth])
        if folder not in made:
            made.add(folder)
            tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o755))


def _file(tar: tarfile.TarFile, place: str, content: IO[bytes], size: int, *, executable: bool = False) -> None:
    info = _entry(place, tarfile.REGTYPE, 0o755 if executable else 0o644)
    info.size = size
    tar.addfile(info, content)


def _entry(place: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(place)
    info.type, info.mode, info.mtime = kind, mode, EPOCH
    return info
