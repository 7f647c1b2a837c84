"""Another workspace's ids on every RPC: what is not yours does not exist, and the two are never told apart.

The matrix is made from the service's own descriptor: an RPC that is added tomorrow is tried tomorrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import pytest

from libs.kernel.context import Actor, Ctx
from libs.kernel.errors import Denied, NotFound
from libs.kernel.ids import new_id
from libs.rpc.authorization import Access
from libs.testing.tenancy import rpcs
from tests.integration.project.conftest import Api, member

pytestmark = pytest.mark.wheels

METHODS = {rpc.short: rpc for rpc in rpcs("ProjectService")}
KINDS = {
    "workspace_id": "workspace",
    "project_id": "project",
    "environment_id": "environment",
    "service_id": "service",
    "deployment_id": "deployment",
}
# Harmless content for what a request needs besides ids.
FILLING: dict[str, object] = {"name": "intruder", "values": {"A": "1"}}
FOR_SERVICES_ONLY = {name for name, rpc in METHODS.items() if rpc.access is Access.SERVICE}


def subsets(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(names, size) for size in range(1, len(names) + 1)))


MATRIX = [(method, names) for method in METHODS for names in subsets(METHODS[method].ids)]


def request(method: str, ids: dict[str, str], names: tuple[str, ...]) -> dict[str, Any]:
    fields = METHODS[method].request.DESCRIPTOR.fields_by_name
    filling = {name: value for name, value in FILLING.items() if name in fields}
    if method == "GetService" and "service_id" in names:
        del filling["name"]
    return {**filling, **{name: ids[name] for name in names}}


@dataclass(frozen=True)
class Two:
    """Two workspaces with the same things in them."""

    theirs: dict[str, str]
    own: dict[str, str]
    intruder: Ctx


async def two_workspaces(api: Api) -> Two:
    theirs_project = await api.project("theirs")
    theirs_service = await api.service(theirs_project)
    await api.set(theirs_service, A="hunter2")
    await api.share(theirs_project, S="hunter2")
    intruder = member("wsp_intruder")
    own_project = await api.project("own", intruder)
    own_service = (await api.call("CreateService", intruder, project_id=own_project.id, name="web")).service
    deployment = new_id("deployment", api.host.clock)
    return Two(
        theirs={
            "workspace_id": api.workspace,
            "project_id": theirs_project.id,
            "environment_id": theirs_service.environment_id,
            "service_id": theirs_service.id,
            "deployment_id": deployment,
        },
        own={
            "workspace_id": "wsp_intruder",
            "project_id": own_project.id,
            "environment_id": own_service.environment_id,
            "service_id": own_service.id,
            "deployment_id": deployment,
        },
        intruder=intruder,
    )


async def state(api: Api) -> str:
    tables = ("projects", "environments", "services", "service_settings", "variable_versions", "outbox")
    return str([await api.db.fetch(f"select * from {table}") for table in tables])  # noqa: S608 - names from above


def test_every_id_of_every_request_is_known_here() -> None:
    assert {name for rpc in METHODS.values() for name in rpc.ids} == set(KINDS)
    assert all(rpc.ids for rpc in METHODS.values())


async def test_another_workspaces_ids_do_not_exist_on_any_rpc(api: Api) -> None:
    two = await two_workspaces(api)
    before = await state(api)
    for method, names in MATRIX:
        refusal = Denied if method in FOR_SERVICES_ONLY else NotFound
        await api.refused(refusal, method, two.intruder, **request(method, two.theirs, names))
    assert await state(api) == before


async def test_another_workspaces_ids_beside_ones_own_do_not_exist_either(api: Api) -> None:
    two = await two_workspaces(api)
    before = await state(api)
    for method, names in MATRIX:
        for theirs in set(names) - {"deployment_id"}:
            if len(names) > 1 and method not in FOR_SERVICES_ONLY:
                mixed = {**two.own, theirs: two.theirs[theirs]}
                await api.refused(NotFound, method, two.intruder, **request(method, mixed, names))
    assert await state(api) == before


async def test_what_is_not_yours_and_what_is_not_there_are_refused_alike(api: Api) -> None:
    two = await two_workspaces(api)
    nothing = {name: new_id(kind, api.host.clock) for name, kind in KINDS.items()}
    for method, names in MATRIX:
        if method in FOR_SERVICES_ONLY:
            continue
        theirs = str(await api.refused(NotFound, method, two.intruder, **request(method, two.theirs, names)))
        absent = str(await api.refused(NotFound, method, two.intruder, **request(method, nothing, names)))
        for name in names:
            theirs, absent = theirs.replace(two.theirs[name], name), absent.replace(nothing[name], name)
        assert theirs == absent


@pytest.mark.parametrize("text", ["nonsense", "svc_", "prj_'; drop table projects; --", "\0", "x" * 10_000, "💥"])
async def test_what_is_no_id_at_all_does_not_exist(api: Api, text: str) -> None:
    ids = dict.fromkeys(KINDS, text)
    for method, names in MATRIX:
        if method not in FOR_SERVICES_ONLY:
            refused = await api.refused(NotFound, method, **request(method, ids, names))
            assert len(str(refused)) < 200


async def test_ones_own_ids_do_exist(api: Api) -> None:
    two = await two_workspaces(api)
    for method, rpc in METHODS.items():
        if method not in FOR_SERVICES_ONLY and not method.startswith(("Delete", "Create")):
            await api.call(method, two.intruder, **request(method, two.own, rpc.ids))


async def test_nobody_gets_in_without_an_identity(api: Api) -> None:
    two = await two_workspaces(api)
    nobody = Ctx(Actor(kind="anonymous"))
    for method, rpc in METHODS.items():
        refused = await api.refused(Denied, method, nobody, **request(method, two.theirs, rpc.ids))
        assert isinstance(refused, Denied)
        assert refused.unauthenticated


async def test_a_listing_holds_only_ones_own(api: Api) -> None:
    two = await two_workspaces(api)
    listed = await api.call("ListProjects", two.intruder)
    assert [each.id for each in listed.projects] == [two.own["project_id"]]
    assert not (await api.call("ListProjects", member("wsp_empty"))).projects
