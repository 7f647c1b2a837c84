from __future__ import annotations

from typing import Any

import pytest

from libs.kernel.context import Role
from libs.kernel.errors import Denied, Failure, Invalid, NotFound
from libs.kernel.ids import new_id
from libs.protogen.lightrail.project.v1 import project_pb2, source_pb2, source_pb2_grpc
from tests.integration.project.conftest import DEPLOY, Api, member

pytestmark = pytest.mark.wheels


class Sources:
    """SourceService of a running project service."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.stub = source_pb2_grpc.SourceServiceStub(api.peer.channel)

    async def call(self, method: str, ctx: Any = None, **fields: object) -> Any:
        request = getattr(source_pb2, f"{method}Request")(**fields)
        return await self.api.peer.call(getattr(self.stub, method), request, ctx or self.api.ctx)

    async def set(self, service: project_pb2.Service, password: str = "", **fields: Any) -> source_pb2.Source:
        answer = await self.call(
            "SetSource",
            service_id=service.id,
            source=source_pb2.Source(**fields),
            password=password,
        )
        found: source_pb2.Source = answer.source
        return found

    async def open(self, service: project_pb2.Service) -> source_pb2.OpenSourceResponse:
        answer: source_pb2.OpenSourceResponse = await self.call("OpenSource", DEPLOY, service_id=service.id)
        return answer


async def test_a_source_is_set_shown_opened_by_services_only_and_cleared(api: Api) -> None:
    sources, service = Sources(api), await api.service(await api.project())
    kept = await sources.set(
        service, "pass-word", git_url="https://Git.example/team/app.git", branch="main", watch_paths=["src/"],
        username="ada",
    )  # fmt: skip
    assert kept.git_url == "https://git.example/team/app.git"
    assert kept.has_password
    assert "pass-word" not in str(kept)
    assert (await sources.open(service)).password == "pass-word"
    with pytest.raises(Denied):
        await sources.call("OpenSource", service_id=service.id)
    rows = await api.db.fetch("select box from service_sources")
    assert b"pass-word" not in rows[0]["box"]
    await sources.call("ClearSource", service_id=service.id)
    assert await sources.open(service) == source_pb2.OpenSourceResponse(source=source_pb2.Source())


async def test_a_new_environment_has_the_sources_of_the_first_one_with_their_passwords(api: Api) -> None:
    sources, project = Sources(api), await api.project()
    service, other = await api.service(project), await api.service(project, "other")
    first = await sources.set(
        service, "pass-word", git_url="https://git.example/app", branch="main", watch_paths=["src/"], username="ada"
    )
    made = await api.call("CreateEnvironment", project_id=project.id, name="staging")
    staging = made.environment.id
    opened = await sources.call("OpenSource", DEPLOY, service_id=service.id, environment_id=staging)
    assert opened.source == first
    assert opened.password == "pass-word"
    assert not (await sources.call("GetSource", service_id=other.id, environment_id=staging)).source.git_url
    # From then on they are two.
    await sources.call("ClearSource", service_id=service.id, environment_id=staging)
    assert (await sources.open(service)).password == "pass-word"


async def test_a_password_stays_with_its_host_and_name_and_goes_to_no_other(api: Api) -> None:
    sources, service = Sources(api), await api.service(await api.project())
    await sources.set(service, "pass-word", git_url="https://git.example/a", username="ada")
    assert (await sources.set(service, git_url="https://git.example/b", username="ada")).has_password
    assert not (await sources.set(service, git_url="https://evil.example/b", username="ada")).has_password
    assert not (await sources.set(service, git_url="https://git.example/b", username="ada")).has_password


@pytest.mark.parametrize(
    "fields",
    [
        {"git_url": "file:///etc"},
        {"git_url": "https://a:b@host/x"},
        {"git_url": "https://host/x", "image": "redis:7"},
        {"branch": "--all"},
        {"image": "-x"},
        {"git_url": "https://host/x", "username": "a:b"},
        {"git_url": "git@host:x", "username": "ada"},
        {"watch_paths": ["a"] * 101},
    ],
)
async def test_what_is_no_source_is_refused(api: Api, fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        await Sources(api).set(await api.service(await api.project()), **fields)


async def test_a_service_has_one_deploy_key_whose_private_half_leaves_only_to_services(api: Api) -> None:
    sources, service = Sources(api), await api.service(await api.project())
    first = (await sources.call("CreateDeployKey", service_id=service.id)).deploy_key
    assert first.startswith("ssh-ed25519 ")
    assert (await sources.call("CreateDeployKey", service_id=service.id)).deploy_key == first
    assert (await sources.call("GetSource", service_id=service.id)).source.deploy_key == first
    assert "PRIVATE" in (await sources.open(service)).private_key
    assert b"PRIVATE" not in (await api.db.fetch("select box from deploy_keys"))[0]["box"]
    assert (await sources.call("CreateDeployKey", service_id=service.id, renew=True)).deploy_key != first
    await sources.call("DeleteDeployKey", service_id=service.id)
    assert (await sources.open(service)).private_key == ""


async def test_the_first_key_of_a_host_stays_until_an_admin_forgets_it(api: Api) -> None:
    sources, service = Sources(api), await api.service(await api.project())
    lines = ["host ssh-ed25519 QUFB", "[host]:22 ssh-rsa QkJC"]
    await sources.call("KeepHostKeys", DEPLOY, service_id=service.id, known_hosts=lines)
    await sources.call("KeepHostKeys", DEPLOY, service_id=service.id, known_hosts=["host ssh-ed25519 Q0ND"])
    assert sorted((await sources.open(service)).known_hosts) == sorted(lines)
    developer = member(api.workspace, role=Role.DEVELOPER)
    with pytest.raises(Denied):
        await sources.call("ForgetHostKeys", developer, service_id=service.id)
    await sources.call("ForgetHostKeys", service_id=service.id)
    assert list((await sources.open(service)).known_hosts) == []
    with pytest.raises(Invalid):
        await sources.call("KeepHostKeys", DEPLOY, service_id=service.id, known_hosts=["@cert-authority * ssh-rsa AA"])


async def test_another_workspaces_source_does_not_exist_and_a_deleted_services_keys_are_gone(api: Api) -> None:
    sources, service = Sources(api), await api.service(await api.project())
    stranger = member(new_id("workspace", api.host.clock))
    await sources.set(service, git_url="https://git.example/a")
    await sources.call("CreateDeployKey", service_id=service.id)
    calls: list[tuple[str, dict[str, object]]] = [
        ("GetSource", {}), ("SetSource", {"source": source_pb2.Source()}), ("ClearSource", {}),
        ("CreateDeployKey", {}), ("DeleteDeployKey", {}), ("ForgetHostKeys", {}),
    ]  # fmt: skip
    for method, fields in calls:
        with pytest.raises(NotFound) as refused:
            await sources.call(method, stranger, service_id=service.id, **fields)
        assert isinstance(refused.value, Failure)
    viewer = member(api.workspace, role=Role.VIEWER)
    with pytest.raises(Denied):
        await sources.call("SetSource", viewer, service_id=service.id)
    await api.call("DeleteService", service_id=service.id)
    for table in ("service_sources", "deploy_keys", "host_keys"):
        assert await api.db.fetchval(f"select count(*) from {table}") == 0  # noqa: S608 - constants
