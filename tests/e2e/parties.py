"""People with a workspace each and the same things in it, for tests of what one may see of the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from libs.kernel.ids import new_id
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from tests.e2e import archives
from tests.e2e.platform import Json, Platform

# The one variable of each service, and of each environment.
VARIABLE = "A"
KINDS = {
    "workspace_id": "workspace",
    "project_id": "project",
    "environment_id": "environment",
    "service_id": "service",
    "snapshot_id": "snapshot",
    "deployment_id": "deployment",
    "build_id": "build",
    "token_id": "token",
}


@dataclass(frozen=True)
class Party:
    """Somebody, and an id of everything they own."""

    platform: Platform
    # In every name and value of theirs, and nowhere else.
    word: str
    token: str
    ids: Mapping[str, str]

    def leaks(self, text: str, sent: Mapping[str, str]) -> list[str]:
        """What of theirs a text shows that the asker has not just named themselves."""
        said = " ".join(sent.values())
        return [value for value in (self.word, *self.ids.values()) if value in text and value not in said]

    async def api(self, method: str, path: str, **more: Json) -> Json:
        """Asks the REST API as this party."""
        return await self.platform.api(method, path, token=self.token, **more)

    async def fresh(self) -> dict[str, str]:
        """Makes another project with a service and variables, which may be deleted."""
        return {**self.ids, **await _project(self.platform, self.token, f"{self.word}-{_random()}")}


@dataclass(frozen=True)
class Two:
    """Who owns something, and who is curious; both have the same of their own."""

    owner: Party
    stranger: Party
    # The address of somebody with an account who is in neither workspace.
    bystander: str


async def two(platform: Platform) -> Two:
    """Two parties whose deployments are live."""
    owner, stranger = await _settle(platform, "owner"), await _settle(platform, "stranger")
    bystander = f"bystander-{_random()}@example.test"
    await platform.user(bystander)
    for party in (owner, stranger):

        async def live(party: Party = party) -> None:
            now = await party.api("GET", f"/deployments/{party.ids['deployment_id']}")
            assert now["state"] == "active", now["reason"]

        await eventually(live, within=90, every=0.1)
    return Two(await _built(owner), await _built(stranger), bystander)


async def gone(both: Two) -> None:
    """Deletes everything that the two have deployed."""
    for party in (both.owner, both.stranger):
        for project in (await party.api("GET", "/projects", params={"limit": 200}))["items"]:
            await party.api("DELETE", f"/projects/{project['id']}")


def nothing() -> dict[str, str]:
    """Well-formed ids of things that never were."""
    return {name: new_id(kind, SystemClock()) for name, kind in KINDS.items()}


async def _built(party: Party) -> Party:
    builds = await party.api("GET", "/builds", params={"deployment_id": party.ids["deployment_id"]})
    return replace(party, ids={**party.ids, "build_id": builds["items"][0]["id"]})


async def _settle(platform: Platform, role: str) -> Party:
    word = f"{role}{_random()}"
    token = await platform.user(f"{word}@example.test")
    ids = await _project(platform, token, word)
    snapshot = await platform.api(
        "POST",
        f"/services/{ids['service_id']}/snapshots",
        token=token,
        content=archives.honest(),
        headers={"Content-Type": "application/gzip"},
    )
    wanted = {"service_id": ids["service_id"], "snapshot_id": snapshot["id"]}
    deployment = await platform.api("POST", "/deployments", token=token, json=wanted)
    made = await platform.api("POST", "/tokens", token=token, json={"name": word})
    ids |= {"snapshot_id": snapshot["id"], "deployment_id": deployment["id"], "token_id": made["token"]["id"]}
    return Party(platform, word, token, ids)


async def _project(platform: Platform, token: str, name: str) -> dict[str, str]:
    project = await platform.api("POST", "/projects", token=token, json={"name": name})
    environment = project["environments"][0]["id"]
    service = await platform.api("POST", "/services", token=token, json={"project_id": project["id"], "name": name})
    # A change that restarts what runs could come between a deployment and the look whether it is live.
    values = {"values": {VARIABLE: name}, "skip_deploys": True}
    await platform.api("PATCH", f"/services/{service['id']}/variables", token=token, json=values)
    await platform.api("PATCH", f"/environments/{environment}/variables", token=token, json=values)
    return {
        "workspace_id": project["workspace_id"],
        "project_id": project["id"],
        "environment_id": environment,
        "service_id": service["id"],
    }


def _random() -> str:
    return new_id("run", SystemClock())[-8:]
