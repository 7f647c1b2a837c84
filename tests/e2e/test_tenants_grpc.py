"""What belongs to another workspace does not exist: every RPC of every service, generated from the protos.

Each request that must find nothing has a twin that must find something: the same request with one's own ids.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message

from libs.kernel.context import Role
from libs.rpc.authorization import Access, rule
from libs.testing.tenancy import Rpc, filled, foreign, rpcs
from tests.e2e import archives, parties
from tests.e2e.parties import VARIABLE, Two
from tests.e2e.platform import Json, Platform

SERVICES = ("auth", "project", "build", "deploy", "router", "metering")
SECONDS = 20
Shape = tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """How one RPC is asked: sets of its ids that mean something, and what else it needs."""

    shapes: Sequence[Shape]
    filling: Mapping[str, Json] = field(default_factory=dict)
    # The last message of a stream to the service.
    last: Mapping[str, Json] = field(default_factory=dict)
    # Whoever may ask deletes something that is made for it.
    ends: bool = False


NAMED = {"name": "NAME"}
BUILD = [("build_id",), ("deployment_id",), ("build_id", "deployment_id")]
CACHES = [("workspace_id",), ("service_id",), ("workspace_id", "service_id")]
IN_ENVIRONMENT = [("service_id",), ("service_id", "environment_id")]
VARIABLES = [*IN_ENVIRONMENT, ("environment_id",)]
# An RPC of tomorrow that takes an id and is open to people needs a row here.
ROWS = {
    "auth.SetMember": Row([("workspace_id",)], {"email": "BYSTANDER", "role": 1}),
    "auth.CreateToken": Row(
        [
            ("workspace_id",),
            ("workspace_id", "project_id"),
            ("workspace_id", "project_id", "environment_id"),
        ],
        NAMED,
    ),
    "auth.RevokeToken": Row([("token_id",)]),
    "build.UploadSnapshot": Row([("service_id",)], last={"chunk": archives.honest()}),
    "build.GetSnapshot": Row([("snapshot_id",)]),
    "build.GetBuild": Row(BUILD),
    "build.ListBuilds": Row([("deployment_ids",)]),
    "build.ListCaches": Row(CACHES),
    "build.ClearCaches": Row(CACHES),
    "build.StreamBuildLog": Row(BUILD),
    "build.CancelBuild": Row(BUILD),
    "build.GetProvenance": Row(BUILD),
    "build.AdvertiseRefs": Row(IN_ENVIRONMENT),
    "build.ReceivePack": Row(IN_ENVIRONMENT, last={"chunk": b"0000"}),
    "build.UploadPack": Row(IN_ENVIRONMENT, {"content": b"0000"}),
    "build.GetScan": Row(BUILD),
    "build.DownloadSbom": Row(BUILD),
    "deploy.CreateDeployment": Row([("service_id", "snapshot_id"), ("service_id", "environment_id", "snapshot_id")]),
    "deploy.GetDeployment": Row([("deployment_id",)]),
    "deploy.ListDeployments": Row(
        [
            ("service_id",),
            ("environment_id",),
            ("project_id",),
            ("environment_id", "project_id"),
            ("service_id", "environment_id", "project_id"),
        ]
    ),
    "deploy.DeleteDeployment": Row([("deployment_id",)]),
    "deploy.Redeploy": Row([("deployment_id",)]),
    "deploy.Rollback": Row([("deployment_id",)]),
    "deploy.StreamLogs": Row([*IN_ENVIRONMENT, ("deployment_id",), ("service_id", "environment_id", "deployment_id")]),
    "metering.QueryUsage": Row(
        [("workspace_id",), ("project_id",), ("service_id",), ("workspace_id", "project_id", "service_id")]
    ),
    "project.CreateProject": Row([("workspace_id",)], NAMED),
    "project.GetProject": Row([("project_id",)]),
    "project.ListProjects": Row([("workspace_id",)]),
    "project.UpdateProject": Row([("project_id",)]),
    "project.DeleteProject": Row([("project_id",)], ends=True),
    "project.CreateEnvironment": Row([("project_id",)], NAMED),
    "project.ListEnvironments": Row([("project_id",)]),
    "project.CreateService": Row([("project_id",)], NAMED),
    "project.GetService": Row(IN_ENVIRONMENT),
    "project.ListServices": Row([("project_id",), ("environment_id",), ("project_id", "environment_id")]),
    "project.UpdateService": Row(IN_ENVIRONMENT),
    "project.DeleteService": Row([("service_id",)], ends=True),
    "project.GetSource": Row(IN_ENVIRONMENT),
    "project.SetSource": Row(IN_ENVIRONMENT),
    "project.ClearSource": Row(IN_ENVIRONMENT),
    "project.CreateDeployKey": Row([("service_id",)]),
    "project.DeleteDeployKey": Row([("service_id",)]),
    "project.ForgetHostKeys": Row([("service_id",)]),
    "project.ListVariables": Row(VARIABLES),
    "project.SetVariables": Row(VARIABLES, {"values": {VARIABLE: "1"}}),
    "project.DeleteVariable": Row(VARIABLES, {"name": VARIABLE}, ends=True),
}
# One that takes none has to say here why it shows nothing of anyone else.
WITHOUT_IDS = {
    "auth.GetSetupStatus": "whether there is an account at all",
    "auth.CompleteSetup": "makes the first account, once",
    "auth.Login": "the password says whose session it is",
    "auth.Logout": "ends the session it is given",
    "auth.GetMe": "the caller, and the workspaces they are in",
    "auth.ListWorkspaces": "those the caller is in",
    "auth.CreateWorkspace": "makes a new one, which is the caller's",
    "auth.ListTokens": "the caller's own",
    "build.GetProvenanceKey": "the platform's public key",
}
_numbers = count()


def key(rpc: Rpc) -> str:
    """The name of an RPC in the tables above: "deploy.GetDeployment"."""
    return f"{rpc.owner}.{rpc.short}"


def ids_of(ids: Mapping[str, str]) -> dict[str, str]:
    """The ids of a party by the names under which requests ask for them: those of lists, too."""
    return {**ids, **{f"{name}s": value for name, value in ids.items()}}


OPEN_TO_PEOPLE = {key(rpc): rpc for rpc in rpcs() if rpc.access in (Access.PUBLIC, Access.IDENTIFIED, Access.MEMBER)}
CLOSED = [rpc for rpc in rpcs() if key(rpc) not in OPEN_TO_PEOPLE]
# Those that end something come last.
MATRIX = sorted(
    (
        (OPEN_TO_PEOPLE[name], row, shape)
        for name, row in ROWS.items()
        if name in OPEN_TO_PEOPLE
        for shape in row.shapes
    ),
    key=lambda one: one[1].ends,
)


@dataclass
class Doors:
    """A connection to every service, and somebody who asks."""

    channels: Mapping[str, grpc.aio.Channel]
    both: Two

    def request(self, rpc: Rpc, ids: Mapping[str, str]) -> Message:
        """A request that is right in everything but perhaps its ids."""
        changing = {"NAME": f"n{next(_numbers)}", "BYSTANDER": self.both.bystander}
        row = ROWS.get(key(rpc), Row([]))
        return filled(rpc, ids, {name: changing.get(str(value), value) for name, value in row.filling.items()})

    async def ask(self, rpc: Rpc, ids: Mapping[str, str], token: str, at: str = "") -> tuple[grpc.StatusCode, str]:
        """Sends it; gives the status and everything that was said, whether answer or refusal."""
        channel = self.channels[at or rpc.owner]
        made = {"request_serializer": rpc.request.SerializeToString, "response_deserializer": rpc.response.FromString}
        sent: Json = self.request(rpc, ids)
        if rpc.streams_in:
            sent = iter([sent, rpc.request(**ROWS[key(rpc)].last)])
        kind = f"{'stream' if rpc.streams_in else 'unary'}_{'stream' if rpc.streams_out else 'unary'}"
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        call = getattr(channel, kind)(f"/{rpc.name}", **made)(sent, metadata=metadata, timeout=SECONDS)
        try:
            answers = [str(answer) async for answer in call] if rpc.streams_out else [str(await call)]
        except grpc.aio.AioRpcError as refused:
            return refused.code(), f"{refused.details()} {refused.trailing_metadata()}"
        return grpc.StatusCode.OK, "\n".join(answers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def addresses(platform: Platform) -> dict[str, str]:
    parts = await platform.parts()
    return {name: parts[name]["address"] for name in SERVICES}


@pytest.fixture
async def doors(addresses: dict[str, str], both: Two) -> AsyncIterator[Doors]:
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(grpc.aio.insecure_channel(address))
            for name, address in addresses.items()
        }
        yield Doors(channels, both)


def test_every_rpc_has_a_row_or_says_why_not() -> None:
    assert set(ROWS) == {name for name, rpc in OPEN_TO_PEOPLE.items() if rpc.ids}
    assert set(WITHOUT_IDS) == {name for name, rpc in OPEN_TO_PEOPLE.items() if not rpc.ids}
    for name, row in ROWS.items():
        assert {id_ for shape in row.shapes for id_ in shape} == set(OPEN_TO_PEOPLE[name].ids), name


async def test_another_workspaces_ids_do_not_exist_on_any_rpc(doors: Doors) -> None:
    owner, stranger = doors.both.owner, doors.both.stranger
    theirs, own = ids_of(owner.ids), ids_of(stranger.ids)
    wrong = []
    for rpc, _, shape in MATRIX:
        for ids in foreign(shape, own, theirs):
            status, said = await doors.ask(rpc, ids, stranger.token)
            named = [name for name in ids if ids[name] == theirs[name]]
            if status is not grpc.StatusCode.NOT_FOUND:
                wrong.append(f"{key(rpc)}{shape} with another's {named}: {status.name} {said[:200]}")
            if leaks := owner.leaks(said, ids):
                wrong.append(f"{key(rpc)}{shape} with another's {named} shows {leaks}")
    assert wrong == []


async def test_what_is_not_yours_and_what_is_not_there_are_refused_alike(doors: Doors) -> None:
    absent = ids_of(parties.nothing())
    for rpc, _, shape in MATRIX:
        said = []
        for ids in (ids_of(doors.both.owner.ids), absent):
            sent = {name: ids[name] for name in shape}
            status, text = await doors.ask(rpc, sent, doors.both.stranger.token)
            for name, value in sent.items():
                text = text.replace(value, name)
            said.append((status, text))
        assert said[0] == said[1], key(rpc)


@pytest.mark.parametrize("text", ["nonsense", "a\0b", "💥" * 90], ids=["word", "nul", "long"])
async def test_what_is_no_id_is_refused_with_a_sentence(doors: Doors, text: str) -> None:
    for rpc, _, shape in MATRIX:
        status, said = await doors.ask(rpc, dict.fromkeys(shape, text), doors.both.stranger.token)
        assert status in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT), (key(rpc), said)
        assert " " in said


async def test_whoever_owns_what_is_named_gets_an_answer_on_every_rpc(doors: Doors) -> None:
    """The twins: without them, a wrong request would pass for a refusal above."""
    wrong = []
    for rpc, row, shape in MATRIX:
        # Where a stranger mixes ids, their own half of the request must be right, too.
        for party in (doors.both.owner, doors.both.stranger)[: len(shape)]:
            ids = ids_of(await party.fresh() if row.ends else party.ids)
            status, said = await doors.ask(rpc, {name: ids[name] for name in shape}, party.token)
            if status is not grpc.StatusCode.OK:
                wrong.append(f"{key(rpc)} with one's own {shape}: {status.name} {said[:200]}")
    assert wrong == []


async def test_a_token_of_another_project_or_environment_finds_nothing_either(doors: Doors) -> None:
    owner = doors.both.owner
    ids, elsewhere = ids_of(owner.ids), await owner.fresh()
    staging = await owner.api("POST", f"/projects/{ids['project_id']}/environments", json={"name": "staging"})
    bound = {"name": "narrow", "workspace_id": ids["workspace_id"]}
    of_project = bound | {"project_id": elsewhere["project_id"]}
    of_environment = bound | {"project_id": ids["project_id"], "environment_id": staging["id"]}
    in_project = {"project_id", "service_id", "snapshot_id"}
    in_environment = {"environment_id", "deployment_id", "deployment_ids", "build_id"}
    for scope, hidden in ((of_project, in_project | in_environment), (of_environment, in_environment)):
        token = (await owner.api("POST", "/tokens", json=scope))["secret"]
        for rpc, _, shape in MATRIX:
            if rpc.access is Access.MEMBER and hidden.intersection(shape):
                status, said = await doors.ask(rpc, {name: ids[name] for name in shape}, token)
                assert status is grpc.StatusCode.NOT_FOUND, (key(rpc), shape, said)


async def test_a_viewer_may_look_and_change_nothing(doors: Doors) -> None:
    owner = doors.both.owner
    narrow = {"name": "viewer", "workspace_id": owner.ids["workspace_id"], "role": "viewer"}
    viewer = (await owner.api("POST", "/tokens", json=narrow))["secret"]
    ids = ids_of(owner.ids)
    for rpc, _, shape in MATRIX:
        if rpc.access is Access.MEMBER:
            looks = rule(rpc.name).role is Role.VIEWER
            status, said = await doors.ask(rpc, {name: ids[name] for name in shape}, viewer)
            expected = grpc.StatusCode.OK if looks else grpc.StatusCode.PERMISSION_DENIED
            assert status is expected, (key(rpc), said)


async def test_doors_of_services_and_operators_tell_people_nothing(doors: Doors) -> None:
    ids = {**ids_of(doors.both.owner.ids), "correlation_id": doors.both.owner.ids["deployment_id"]}
    for rpc in CLOSED:
        for at in SERVICES if rpc.owner == "common" else (rpc.owner,):
            sent = {name: ids[name] for name in rpc.ids if name in ids}
            status, said = await doors.ask(rpc, sent, doors.both.stranger.token, at)
            assert status is grpc.StatusCode.PERMISSION_DENIED, (key(rpc), at, said)
            assert not doors.both.owner.leaks(said, sent)


async def test_without_a_token_no_rpc_answers_but_the_open_ones(doors: Doors) -> None:
    ids = ids_of(doors.both.owner.ids)
    for rpc in [*OPEN_TO_PEOPLE.values(), *CLOSED]:
        if rpc.access is not Access.PUBLIC:
            at = "deploy" if rpc.owner == "common" else rpc.owner
            status, said = await doors.ask(rpc, {name: ids[name] for name in rpc.ids if name in ids}, "", at)
            assert status is grpc.StatusCode.UNAUTHENTICATED, (key(rpc), said)
