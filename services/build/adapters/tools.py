"""The platform's own tools as builds and artifacts see them, below /opt/lightrail."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path
from typing import Final

from libs.sandbox.spec import Mount
from libs.stacks import static_server

TOOLS: Final = "/opt/lightrail"
# People write "pip install" in their build commands; there is no pip in a uv environment, but uv does the same.
_PIP: Final = """#!/bin/sh
case "$1" in --version|-V) exec uv --version ;; esac
exec uv pip "$@"
"""


class Tools:
    """Keeps what it makes in `folder`."""

    def __init__(self, folder: Path, uv: str) -> None:
        self._folder = folder
        self._uv = uv
        self.version = metadata.version("uv")
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        for name in ("pip", "pip3"):
            _program(folder / name, _PIP)

    def mounts(self) -> list[Mount]:
        """What steps get at /opt/lightrail/bin."""
        shown = [Mount(Path(self._uv), f"{TOOLS}/bin/uv")]
        return shown + [Mount(self._folder / name, f"{TOOLS}/bin/{name}") for name in ("pip", "pip3")]

    def file_server(self, python: str) -> Path:
        """A folder with the file server and a command that starts it with this interpreter."""
        folder = self._folder / "static"
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        source = Path(static_server.__file__)
        if not (folder / source.name).exists() or (folder / source.name).read_bytes() != source.read_bytes():
            shutil.copyfile(source, folder / source.name)
        start = f'#!/bin/sh\nexec {python} -I -S {TOOLS}/{source.name} "$@"\n'
        _program(folder / "bin" / "lightrail-static", start)
        return folder


def _program(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
