"""`lr build status` and `lr build verify`: how a build went, and whether its artifact is what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libs.cli import screen, session, target
from libs.cli.session import EnvironmentName, Json, ServiceName
from libs.kernel.errors import Invalid, NotFound
from libs.kernel.ids import is_id

if TYPE_CHECKING:
    from libs.sdk.client import Client
    from libs.sdk.models import Build, Stage


async def status(
    build: str | None = None,
    *,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    as_json: Json = False,
) -> int:
    """Show the stages of a build: what each came to, and how long it took.

    Parameters
    ----------
    build
        A build's id or a deployment's; the newest deployment's unless given.
    """
    async with session.connect() as client:
        found = await find(client, build, service=service, environment=environment)
    if as_json:
        screen.emit(found)
        return 0
    screen.say(f"{screen.styled(found.id, 'bold')} of {found.deployment_id}: {screen.state(found.state)}")
    screen.table(
        ("STAGE", "STATE", "TIME", ""), [(one.name, one.state, _took(one), one.detail or "") for one in found.stages]
    )
    if found.waiting:
        screen.say(found.waiting)
    if found.reason and found.state != "succeeded":
        screen.say(found.reason)
    return 0


async def verify(
    build: str | None = None,
    *,
    key: Path | None = None,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    as_json: Json = False,
) -> int:
    """Check here, on this machine, that an artifact is what its signed provenance says; 1 when it is not.

    Parameters
    ----------
    build
        A build's id, a deployment's, or an artifact's digest; the newest deployment's unless given.
    key
        A file with the platform's public key, kept from before; unless given, the platform is asked for it.
    """
    from libs.attest.artifact import verify as check  # noqa: PLC0415 - what only this command costs
    from libs.attest.keys import PublicKey  # noqa: PLC0415 - the same

    async with session.connect() as client:
        if build and build.startswith("sha256:"):
            if not re.fullmatch(r"sha256:[0-9a-f]{64}", build):
                raise Invalid(f"“{build}” is no digest: 64 digits and letters from a to f follow “sha256:”.")
            digest, found = build, await client.provenance(artifact_digest=build)
        else:
            wanted = await find(client, build, service=service, environment=environment)
            found = await client.provenance(build_id=wanted.id)
            digest = wanted.artifact_digest or ""
        shown = b"" if key else (await client.provenance_key()).encode()
    trusted = PublicKey.load(key) if key else PublicKey.parse(shown, "The platform's answer")
    envelope = json.dumps(found.envelope).encode() if found.envelope else b""
    statement = check(digest, found.manifest.encode(), envelope, trusted)
    if as_json:
        screen.emit({"good": True, "build_id": found.build_id, "key_id": trusted.id, "statement": statement})
        return 0
    _told(digest, statement, trusted.id)
    return 0


def _told(digest: str, statement: Mapping[str, Any], key_id: str) -> None:
    made, ran = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    good = screen.styled("✓", "green")
    screen.say(f"{good} {digest} is what was built, and its provenance is signed.")
    rows = [
        ("key", f"sha256:{key_id}"),
        ("build", f"{ran['metadata']['invocationId']}, ended {ran['metadata']['finishedOn']}"),
        ("builder", ran["builder"]["id"].rpartition(":")[2]),
    ]
    for one in made["resolvedDependencies"]:
        is_known = f"sha256:{one['digest']['sha256']}" if "digest" in one else one.get("uri", "")
        rows.append(("from", f"{one['name']} {is_known}"))
    for label, text in rows:
        screen.say(f"  {screen.styled(f'{label:8}', 'dim')} {text}")


async def find(client: Client, named: str | None, *, service: str | None, environment: str | None) -> Build:
    """The build with this id, or the deployment's, or the newest deployment's. NotFound when there is none (yet)."""
    if named and is_id(named, "build"):
        return await client.build(named)
    if named and not is_id(named, "deployment"):
        raise Invalid(f"“{named}” is no id of a build or a deployment.", hint="lr deployments lists deployments.")
    if not named:
        found = await target.find_service(client, service=service, environment=environment)
        newest = await client.deployments(service_id=found.service_id, environment_id=found.environment_id, limit=1)
        if not newest:
            raise NotFound(f"{found.service_name} was never deployed.", hint="Deploy this directory with: lr up")
        named = newest[0].id
    builds = await client.builds([named])
    if not builds:
        raise NotFound(
            f"Nothing was built for {named}: it ended before its build began, or it is a rollback, "
            "which starts what an older deployment built.",
            hint="lr deployments lists deployments.",
        )
    return builds[0]


def _took(stage: Stage) -> str:
    if stage.started_at is None or stage.finished_at is None:
        return ""
    return f"{(stage.finished_at - stage.started_at).total_seconds():.2f} s"
