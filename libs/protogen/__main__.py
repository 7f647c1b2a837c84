"""Regenerates `libs/protogen` from `proto/`: `python -m libs.protogen`."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from google.rpc import status_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lightrail", "envoy")
OWN_IMPORT = re.compile(rf"^(from|import) ({'|'.join(PACKAGES)})(?=[. ])", re.MULTILINE)


def generate(target: Path) -> None:
    """Writes Python messages, gRPC stubs and their types for every file in `proto/` below `target`."""
    source = ROOT / "proto"
    includes = [source, files("grpc_tools") / "_proto", Path(status_pb2.__file__).parents[2]]
    outputs = ["python", "grpc_python", "mypy", "mypy_grpc"]
    code = protoc.main(
        [
            "protoc",
            *(f"-I{folder}" for folder in includes),
            *(f"--{name}_out={'quiet:' if 'mypy' in name else ''}{target}" for name in outputs),
            *sorted(str(path) for path in source.rglob("*.proto")),
        ],
    )
    if code != 0:
        raise SystemExit(code)
    for path in [*target.rglob("*.py"), *target.rglob("*.pyi")]:
        path.write_text(OWN_IMPORT.sub(r"\1 libs.protogen.\2", path.read_text()))
    for folder in (path for path in target.rglob("*") if path.is_dir()):
        (folder / "__init__.py").write_text('"""Generated from `proto/` by `make proto`; never edited."""\n')


def main() -> None:
    """Replaces the checked-in tree, so that what left `proto/` leaves here too."""
    here = ROOT / "libs" / "protogen"
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        for name in PACKAGES:
            shutil.rmtree(here / name, ignore_errors=True)
            if (Path(scratch) / name).exists():
                shutil.copytree(Path(scratch) / name, here / name)
    sys.stdout.write("libs/protogen is fresh\n")


if __name__ == "__main__":
    main()
