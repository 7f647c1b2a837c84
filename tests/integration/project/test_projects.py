"""Projects, environments and services, from their making to their end."""

from __future__ import annotations

from typing import Any

import pytest

from libs.kernel.context import Role
from libs.kernel.errors import Conflict, Denied, Invalid, NotFound
from libs.kernel.units import MIB
from libs.protogen.lightrail.common.v1 import common_pb2
from libs.protogen.lightrail.project.v1 import events_pb2
from libs.protogen.lightrail.project.v1 import project_pb2 as pb
from tests.integration.project.conftest import Api, member, settings_of

pytestmark = pytest.mark.wheels

EVERYTHING = {
    "start_command": "python app.py",
    "build_command": "make",
    "test_command": "make test",
    "builder": "docker",
    "root_directory": "apps/web",
    "replicas": 3,
    "health_path": "/healthz",
    "health_timeout": 60,
    "restart_policy": "always",
    "restart_max_retries": 0,
    "drain_seconds": 5,
    "kind": "web",
    "resources": common_pb2.Resources(
        cpu_request_millicores=100,
        memory_request_bytes=64 * MIB,
        cpu_limit_millicores=500,
        memory_limit_bytes=128 * MIB,
    ),
}


async def test_a_new_project_has_production(api: Api) -> None:
    made = await api.project(" My Shop ")
    assert made.name == "My Shop"
    assert made.workspace_id == api.workspace
    assert [each.name for each in made.environments] == ["production"]
    assert (await api.call("GetProject", project_id=made.id)).project == made
    listed = await api.call("ListEnvironments", project_id=made.id)
    assert list(listed.environments) == list(made.environments)
    assert await api.told() == ["project.created", "environment.created"]


async def test_names_are_checked_and_unique_among_siblings(api: Api) -> None:
    project = await api.project("Shop")
    await api.refused(Conflict, "CreateProject", name="SHOP")
    await api.refused(Invalid, "CreateProject", name="x" * 300)
    await api.refused(Conflict, "CreateEnvironment", project_id=project.id, name="production")
    await api.service(project, "web")
    taken = await api.refused(Conflict, "CreateService", project_id=project.id, name="web")
    assert taken.field == "name"
    wrong = await api.refused(Invalid, "CreateService", project_id=project.id, name="My App")
    assert "Try “my-app”." in str(wrong)
    elsewhere = member("wsp_other")
    assert (await api.project("Shop", elsewhere)).workspace_id == "wsp_other"


async def test_a_caller_with_several_workspaces_says_which(api: Api) -> None:
    both = member(api.workspace, "wsp_2")
    await api.refused(Invalid, "CreateProject", both, name="shop")
    made = await api.call("CreateProject", both, name="shop", workspace_id="wsp_2")
    assert made.project.workspace_id == "wsp_2"
    listed = await api.call("ListProjects", both)
    assert [each.id for each in listed.projects] == [made.project.id]
    assert not (await api.call("ListProjects", both, workspace_id=api.workspace)).projects


async def test_projects_come_in_pages(api: Api) -> None:
    made = [(await api.project(f"project {number}")).id for number in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = await api.call("ListProjects", page=common_pb2.Page(limit=2, cursor=cursor))
        assert len(page.projects) <= 2
        assert all(len(each.environments) == 1 for each in page.projects)
        seen += [each.id for each in page.projects]
        cursor = page.next_cursor
        if not cursor:
            break
    assert seen == made
    assert len((await api.call("ListProjects", page=common_pb2.Page(limit=9999))).projects) == 5
    await api.refused(Invalid, "ListProjects", page=common_pb2.Page(cursor="' or 1=1"))
    await api.refused(Invalid, "ListProjects", page=common_pb2.Page(limit=-1))


async def test_a_service_is_set_up_in_every_environment(api: Api) -> None:
    project = await api.project()
    service = await api.service(project, "web", **EVERYTHING)
    assert service.settings == settings_of(**EVERYTHING)
    assert service.environment_id == project.environments[0].id
    assert (service.environment_name, service.project_name) == ("production", "shop")
    assert service.public_domain == "web-production.localhost"
    staging = (await api.call("CreateEnvironment", project_id=project.id, name="staging")).environment
    there = (await api.call("GetService", service_id=service.id, environment_id=staging.id)).service
    assert there.settings == service.settings
    assert there.public_domain == "web-staging.localhost"
    await api.call("UpdateService", service_id=service.id, environment_id=staging.id, settings=pb.Settings(replicas=1))
    assert (await api.call("GetService", service_id=service.id)).service.settings.replicas == 3
    assert (await api.call("GetService", name="web", environment_id=staging.id)).service.settings.replicas == 1
    later = await api.service(project, "api")
    listed = await api.call("ListServices", project_id=project.id, environment_id=staging.id)
    assert [(each.name, each.environment_id) for each in listed.services] == [
        ("api", staging.id),
        ("web", staging.id),
    ]
    assert (await api.call("ListServices", environment_id=staging.id)).services == listed.services
    assert later.settings == pb.Settings()


async def test_updating_changes_what_is_given_and_clears_what_is_named(api: Api) -> None:
    service = await api.service(await api.project(), "web", **EVERYTHING)
    updated = (
        await api.call(
            "UpdateService",
            service_id=service.id,
            settings=pb.Settings(replicas=0, health_path=""),
            clear=["resources", "kind"],
        )
    ).service
    expected = settings_of(**{**EVERYTHING, "replicas": 0})
    for name in ("resources", "kind", "health_path"):
        expected.ClearField(name)
    assert updated.settings == expected
    assert (await api.call("GetService", service_id=service.id)).service == updated
    await api.call("UpdateService", service_id=service.id, settings=pb.Settings(replicas=0))
    assert (await api.told()).count("service.updated") == 1
    wrong = await api.refused(Invalid, "UpdateService", service_id=service.id, settings=pb.Settings(replicas=-1))
    assert wrong.field == "replicas"


async def test_a_renamed_service_keeps_its_host_name(api: Api) -> None:
    project = await api.project()
    web, _other = await api.service(project, "web"), await api.service(project, "api")
    renamed = (await api.call("UpdateService", service_id=web.id, name="front")).service
    assert (renamed.name, renamed.public_domain) == ("front", "web-production.localhost")
    await api.refused(Conflict, "UpdateService", service_id=web.id, name="api")
    assert (await api.service(project, "web")).id != web.id


async def test_a_worker_has_no_public_domain(api: Api) -> None:
    worker = await api.service(await api.project(), "worker", kind="worker")
    assert worker.public_domain == ""
    assert api.router.asked == []
    web = (await api.call("UpdateService", service_id=worker.id, settings=pb.Settings(kind="web"))).service
    assert web.public_domain == "worker-production.localhost"


async def test_a_name_is_claimed_once_and_kept(api: Api) -> None:
    service = await api.service(await api.project())
    for _ in range(3):
        assert (await api.call("GetService", service_id=service.id)).service.public_domain
    assert api.router.asked == [(service.id, service.environment_id)]


async def test_services_are_made_and_read_while_the_router_is_away(api: Api) -> None:
    api.router.away = True
    project = await api.project()
    service = await api.service(project)
    assert service.public_domain == ""
    assert (await api.call("GetService", service_id=service.id)).service.public_domain == ""
    assert len(api.router.asked) == 1, "while it is away it is not asked by every read"
    api.router.away = False
    assert (await api.render(service)).values["LIGHTRAIL_PUBLIC_DOMAIN"] == "web-production.localhost"
    assert (await api.call("GetService", service_id=service.id)).service.public_domain == "web-production.localhost"


async def test_a_deleted_service_is_gone_and_its_name_is_free(api: Api) -> None:
    project = await api.project()
    service = await api.service(project)
    await api.set(service, A="1")
    await api.call("DeleteService", service_id=service.id)
    for method in ("GetService", "DeleteService", "UpdateService", "ListVariables"):
        await api.refused(NotFound, method, service_id=service.id)
    assert (await api.told())[-1] == "service.deleted"
    again = await api.service(project)
    assert again.id != service.id
    assert await api.written(again) == {}
    assert await api.db.fetchval("select count(*) from variable_values") == 0


async def test_a_projects_scan_policy_is_kept_and_only_what_is_given_changes(api: Api) -> None:
    project = await api.project()
    assert (project.scan_policy, project.scan_severity) == ("warn", "high")
    changed = (await api.call("UpdateProject", project_id=project.id, scan_policy="block")).project
    assert (changed.scan_policy, changed.scan_severity) == ("block", "high")
    await api.call("UpdateProject", project_id=project.id, scan_severity="low")
    found = (await api.call("GetProject", project_id=project.id)).project
    assert (found.scan_policy, found.scan_severity, found.name) == ("block", "low", project.name)
    assert [one.scan_policy for one in (await api.call("ListProjects")).projects] == ["block"]
    wrongs: list[dict[str, Any]] = [
        {"scan_policy": "off"},
        {"scan_severity": "unknown"},
        {"scan_policy": "warn", "scan_severity": "x"},
    ]
    for wrong in wrongs:
        await api.refused(Invalid, "UpdateProject", project_id=project.id, **wrong)
    found = (await api.call("GetProject", project_id=project.id)).project
    assert (found.scan_policy, found.scan_severity) == ("block", "low")


async def test_a_deleted_project_takes_everything_with_it(api: Api) -> None:
    project = await api.project()
    web, gone = await api.service(project, "web"), await api.service(project, "gone")
    await api.set(web, A="1")
    await api.share(project, B="2")
    await api.call("DeleteService", service_id=gone.id)
    await api.call("DeleteProject", project_id=project.id)
    await api.refused(NotFound, "GetProject", project_id=project.id)
    await api.refused(NotFound, "GetService", service_id=web.id)
    await api.refused(NotFound, "ListVariables", environment_id=project.environments[0].id)
    assert (await api.told())[-2:] == ["service.deleted", "project.deleted"]
    assert (await api.told()).count("service.deleted") == 2
    for table in ("projects", "environments", "services", "service_settings", "variable_values", "variable_versions"):
        assert await api.db.fetchval(f"select count(*) from {table}") == 0  # noqa: S608 - a name from the line above
    assert (await api.project()).id != project.id


async def test_facts_carry_what_their_readers_need(api: Api) -> None:
    project = await api.project()
    service = await api.service(project)
    version = await api.set(service, A="1")
    row = await api.db.fetchrow("select workspace_id, payload from outbox order by position desc limit 1")
    assert row is not None
    assert row["workspace_id"] == api.workspace
    assert events_pb2.VariablesChanged.FromString(row["payload"]) == events_pb2.VariablesChanged(
        service_id=service.id,
        environment_id=service.environment_id,
        workspace_id=api.workspace,
        version=version,
    )


@pytest.mark.parametrize(
    ("method", "fields", "role"),
    [
        ("CreateProject", {"name": "more"}, Role.VIEWER),
        ("CreateService", {"project_id": "PROJECT", "name": "more"}, Role.VIEWER),
        ("ListVariables", {"service_id": "SERVICE"}, Role.VIEWER),
        ("DeleteService", {"service_id": "SERVICE"}, Role.DEVELOPER),
        ("DeleteProject", {"project_id": "PROJECT"}, Role.ADMIN),
        ("UpdateProject", {"project_id": "PROJECT", "scan_policy": "block"}, Role.DEVELOPER),
    ],
)
async def test_a_role_that_does_not_reach_is_told_so(api: Api, method: str, fields: dict[str, Any], role: Role) -> None:
    project = await api.project()
    service = await api.service(project)
    ids = {"PROJECT": project.id, "SERVICE": service.id}
    given = {name: ids.get(value, value) for name, value in fields.items()}
    await api.refused(Denied, method, member(api.workspace, role=role), **given)


async def test_a_token_bound_to_an_environment_sees_only_that(api: Api) -> None:
    project, other = await api.project("one"), await api.project("two")
    service = await api.service(project)
    staging = (await api.call("CreateEnvironment", project_id=project.id, name="staging")).environment
    bound = member(api.workspace, project=project.id, environment=staging.id)
    assert (await api.call("GetService", bound, service_id=service.id)).service.environment_id == staging.id
    listed = await api.call("ListServices", bound, project_id=project.id)
    assert [each.environment_id for each in listed.services] == [staging.id]
    await api.call("SetVariables", bound, service_id=service.id, values={"A": "1"})
    assert [each.id for each in (await api.call("ListProjects", bound)).projects] == [project.id]
    environments = (await api.call("ListEnvironments", bound, project_id=project.id)).environments
    assert [each.id for each in environments] == [staging.id]
    production = project.environments[0].id
    await api.refused(NotFound, "GetService", bound, service_id=service.id, environment_id=production)
    await api.refused(NotFound, "SetVariables", bound, service_id=service.id, environment_id=production)
    await api.refused(NotFound, "GetProject", bound, project_id=other.id)
    for method, fields in (
        ("CreateProject", {"name": "three"}),
        ("CreateEnvironment", {"project_id": project.id, "name": "dev"}),
        ("CreateService", {"project_id": project.id, "name": "api"}),
        ("UpdateService", {"service_id": service.id, "name": "api"}),
        ("DeleteService", {"service_id": service.id}),
        ("DeleteProject", {"project_id": project.id}),
        ("UpdateProject", {"project_id": project.id, "scan_policy": "block"}),
    ):
        await api.refused(Denied, method, bound, **fields)
    assert await api.written(service) == {}
