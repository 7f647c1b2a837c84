"""JSON schemas of the plan and of lightrail.toml, made from their types.

`python -m libs.plans.schemas docs/schemas` writes them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from libs.plans.config.manifest import Manifest
from libs.plans.plan import VERSION, BuildPlan

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, str]:
    """The schemas' texts by the name of their file."""
    return {
        f"build-plan-v{VERSION}.json": _written(BuildPlan, "A build plan", closed=True),
        "lightrail-toml.json": _written(Manifest, "lightrail.toml", closed=True),
    }


def _written(type_: type, title: str, *, closed: bool) -> str:
    made = msgspec.json.schema(type_)
    definitions: Mapping[str, Any] = made.get("$defs", {})
    for definition in definitions.values():
        if closed and definition.get("type") == "object" and "properties" in definition:
            definition["additionalProperties"] = False
    return json.dumps({"$schema": _DIALECT, "title": title, **made}, indent=2, ensure_ascii=False) + "\n"


def main(folder: Path) -> None:
    """Writes the schemas into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
