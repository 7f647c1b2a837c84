"""`lr build status` and `lr build verify`, as people type them."""

from __future__ import annotations

import hashlib
import json
import re

from libs.attest.artifact import PREDICATE, STATEMENT
from libs.attest.dsse import IN_TOTO, seal
from libs.attest.keys import SigningKey
from tests.integration.gateway.shell import Person, linked
from tests.integration.gateway.world import MANIFEST, World


async def test_a_build_shows_its_stages(person: Person) -> None:
    await linked(person)
    assert "never deployed" in (await person.lr("build", "status")).err
    await person.ok("up", "--detach")
    deployment = next(iter(person.gateway.world.deployments))
    assert "Nothing was built" in (await person.lr("build", "status")).err
    person.gateway.world.build_lines[deployment] = []
    for arguments in ([], [deployment], [deployment.replace("dep_", "bld_")]):
        said = (await person.ok("build", "status", *arguments)).out
        assert re.search(r"test +failed +1\.50 s +The step test failed\.", said), said
        assert "waiting for memory: needs 2 GiB, 700 MiB are free" in said
    shown = (await person.ok("build", "status", "--json")).json()
    assert [(one["name"], one["state"]) for one in shown["stages"]] == [("test", "failed"), ("publish", "skipped")]
    rows = (await person.ok("deployments", "--json")).json()
    assert [row["build"]["id"] for row in rows] == [shown["id"]]
    wrong = await person.lr("build", "status", "nonsense")
    assert "no id of a build" in wrong.err


def sealed(world: World, digest: str, key: SigningKey | None = None) -> bytes:
    ran = {"builder": {"id": "urn:lightrail:builder:slug"}, "metadata": {"invocationId": "bld_1", "finishedOn": "now"}}
    source = {"name": "source", "digest": {"sha256": "1" * 64}}
    told = {
        "_type": STATEMENT, "predicateType": PREDICATE, "subject": [{"name": "a", "digest": {"sha256": digest[7:]}}],
        "predicate": {"buildDefinition": {"resolvedDependencies": [source]}, "runDetails": ran},
    }  # fmt: skip
    return seal(IN_TOTO, json.dumps(told).encode(), key or world.provenance_key)


async def test_an_artifact_is_verified_here_and_not_by_the_platforms_word(person: Person) -> None:
    await linked(person)
    await person.ok("up", "--detach")
    world = person.gateway.world
    world.build_lines[next(iter(world.deployments))] = []
    digest = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
    assert "it has no provenance" in (await person.lr("build", "verify")).err
    assert "“sha256:12” is no digest" in (await person.lr("build", "verify", "sha256:12")).err
    world.envelope = sealed(world, digest)
    kept = person.home / "kept.pub"
    kept.write_text(world.provenance_key.public.pem, encoding="utf-8")
    for arguments in ([digest], ["--key", str(kept)]):
        said = (await person.ok("build", "verify", *arguments)).out
        assert f"{digest} is what was built" in said
        assert "source sha256:1111" in said
    # A platform that signs with another key, and shows that one too, convinces only who kept none.
    before = world.provenance_key.public.id
    world.provenance_key = SigningKey.generate()
    world.envelope = sealed(world, digest)
    assert (await person.ok("build", "verify", "--json")).json()["key_id"] != before
    pinned = await person.lr("build", "verify", "--key", str(kept))
    assert (pinned.code, pinned.out) == (1, "")
    assert "not signed with the platform's provenance key" in pinned.err
    world.envelope, world.manifest = sealed(world, digest), MANIFEST + b" "
    changed = await person.lr("build", "verify", "--json")
    assert changed.code == 1
    assert "its digest is wrong" in changed.json()["error"]["message"]


async def test_what_builds_keep_is_listed_and_cleared(person: Person) -> None:
    await linked(person)
    said = (await person.ok("build", "cache", "list")).out
    assert "downloads of uv" in said
    assert "installed to /app/.venv" in said
    assert "3.0 MiB in all" in said
    mine = (await person.ok("build", "cache", "list", "--json", "--service", "web")).json()
    assert [one["kind"] for one in mine] == ["dependencies"]
    assert "Cleared 1, 3.0 MiB." in (await person.ok("build", "cache", "clear", "--tool", "uv")).out
    assert (await person.ok("build", "cache", "clear", "--json")).json() == {
        "count": 2, "bytes": 3 * 1024 * 1024 + 7, "busy": [],
    }  # fmt: skip
