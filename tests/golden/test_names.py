"""Names that others write down: settings in their environment, subjects in their subscriptions.

`python -m pytest tests/golden --golden-update` writes the names of today; one that goes breaks somebody.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "cases" / "names"
_SUBJECT = re.compile(r"lightrail\.[a-z]+\.[a-z_]+\.(?:[a-z_]+|<[a-z_]+>)\.v\d+")


def settings() -> Iterator[str]:
    """Each setting of a service or of the platform's parts, with its type and default."""
    homes = sorted(path.parent.name for path in (ROOT / "services").glob("*/config.py"))
    for module in (*(f"services.{service}.config" for service in homes), "libs.embedded.settings"):
        for made in vars(import_module(module)).values():
            if isinstance(made, type) and made.__module__ == module and dataclasses.is_dataclass(made):
                for item in dataclasses.fields(made):
                    default = str(item.metadata["default"]).replace(str(Path.home()), "~")
                    yield f"{module.split('.')[1]} {item.metadata['name']}: {item.type} = {default}"


def subjects() -> Iterator[str]:
    """Each subject that an owner's events.proto describes."""
    for path in sorted((ROOT / "proto" / "lightrail").glob("*/v1/events.proto")):
        yield from sorted(set(_SUBJECT.findall(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("told", [settings, subjects], ids=lambda told: told.__name__)
def test_the_names_are_those_that_were_agreed(
    told: Callable[[], Iterator[str]], request: pytest.FixtureRequest
) -> None:
    golden = CASES / f"{told.__name__}.txt"
    names = "".join(f"{line}\n" for line in told())
    if request.config.getoption("--golden-update"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(names, encoding="utf-8")
    assert names.count("\n") > 20  # an empty list would agree with everything
    assert names == golden.read_text(encoding="utf-8")
