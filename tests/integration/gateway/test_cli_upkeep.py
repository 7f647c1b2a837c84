"""`lr platform collect`, as people type it."""

from __future__ import annotations

import re

from tests.integration.gateway.shell import Person


async def test_an_operator_collects_and_sees_what_went(person: Person) -> None:
    said = (await person.ok("platform", "collect", "--dry-run")).out
    assert re.search(r"blobs +2 +5\.0 MiB +nothing is made of them", said), said
    assert "Would free 5.0 MiB" in said
    assert "above its high watermark" in said
    assert "Freed 5.0 MiB" in (await person.ok("platform", "collect")).out
    assert (await person.ok("platform", "collect", "--last", "--json")).json()["dry_run"] is False
    assert "choose one" in (await person.lr("platform", "collect", "--last", "--dry-run")).err
    assert [name for name, _ in person.gateway.world.calls if "ollect" in name] == [
        "Collect",
        "Collect",
        "GetCollection",
    ]
