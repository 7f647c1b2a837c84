"""Variables: set, referred to, sealed, versioned, rendered; and what the database sees of them."""

from __future__ import annotations

import asyncio
import base64
import secrets
from pathlib import Path

import pytest

from libs.kernel.errors import Conflict, Denied, Failure, Invalid, NotFound, Unavailable
from services.project.main import MODULE
from tests.integration.project.conftest import DEPLOY, Api, member

pytestmark = pytest.mark.wheels


def write_key(path: Path, mode: int) -> None:
    path.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    path.chmod(mode)


async def test_from_setting_to_rendering(api: Api) -> None:
    project = await api.project()
    backend, web = await api.service(project, "api"), await api.service(project, "web")
    await api.share(project, REGION="eu")
    await api.set(backend, TOKEN="t-${{shared.REGION}}")
    version = await api.set(
        web,
        URL="http://${{ api.LIGHTRAIL_SERVICE_NAME }}/${{api.TOKEN}}",
        SELF="${{LIGHTRAIL_PUBLIC_DOMAIN}} ${{LIGHTRAIL_DEPLOYMENT_ID}}",
        LITERAL="$${{URL}}",
    )
    rendered = await api.render(web, deployment_id="dep_1")
    assert dict(rendered.values) == {
        "URL": "http://api/t-eu",
        "SELF": "web-production.localhost dep_1",
        "LITERAL": "${{URL}}",
        "LIGHTRAIL_PROJECT_ID": project.id,
        "LIGHTRAIL_PROJECT_NAME": "shop",
        "LIGHTRAIL_ENVIRONMENT_ID": web.environment_id,
        "LIGHTRAIL_ENVIRONMENT_NAME": "production",
        "LIGHTRAIL_SERVICE_ID": web.id,
        "LIGHTRAIL_SERVICE_NAME": "web",
        "LIGHTRAIL_PUBLIC_DOMAIN": "web-production.localhost",
        "LIGHTRAIL_DEPLOYMENT_ID": "dep_1",
    }
    assert rendered.version == version
    assert list(rendered.secret_names) == ["URL"]


async def test_variables_are_listed_as_written_and_rendered(api: Api) -> None:
    project = await api.project()
    web = await api.service(project)
    await api.set(web, B="${{A}}!", A="1")
    listed = await api.call("ListVariables", service_id=web.id)
    own = [(each.name, each.value) for each in listed.variables if not each.provided]
    assert own == [("A", "1"), ("B", "${{A}}!")]
    given = {each.name: each.value for each in listed.variables if each.provided}
    assert given["LIGHTRAIL_PUBLIC_DOMAIN"] == "web-production.localhost"
    assert "LIGHTRAIL_DEPLOYMENT_ID" not in given
    rendered = await api.call("ListVariables", service_id=web.id, rendered=True)
    assert {each.name: each.value for each in rendered.variables if not each.provided} == {"A": "1", "B": "1!"}
    assert rendered.version == listed.version == 1


async def test_setting_adds_replacing_deletes_and_the_same_again_changes_nothing(api: Api) -> None:
    web = await api.service(await api.project())
    assert await api.set(web, A="1", B="2") == 1
    assert await api.set(web, B="3") == 2
    assert await api.set(web, B="3") == 2
    assert await api.written(web) == {"A": "1", "B": "3"}
    replaced = await api.call("SetVariables", service_id=web.id, values={"C": "4"}, replace=True, skip_deploys=True)
    assert replaced.version == 3
    assert await api.written(web) == {"C": "4"}
    assert (await api.call("DeleteVariable", service_id=web.id, name="C")).version == 4
    await api.refused(NotFound, "DeleteVariable", service_id=web.id, name="C")
    assert (await api.told()).count("variables.changed") == 4


async def test_each_environment_has_its_own(api: Api) -> None:
    project = await api.project()
    web = await api.service(project)
    staging = (await api.call("CreateEnvironment", project_id=project.id, name="staging")).environment.id
    await api.set(web, A="production")
    await api.call("SetVariables", service_id=web.id, environment_id=staging, values={"A": "staging"})
    assert (await api.render(web)).values["A"] == "production"
    assert (await api.render(web, environment_id=staging)).values["A"] == "staging"


async def test_a_sealed_value_reaches_deployments_and_nobody_else(api: Api) -> None:
    project = await api.project()
    db, web = await api.service(project, "db"), await api.service(project, "web")
    await api.call("SetVariables", service_id=db.id, values={"PIN": "hunter2"}, sealed=True)
    await api.set(web, URL="pg://${{db.PIN}}@h")
    for rendered in (False, True):
        for service in (db, web):
            listed = await api.call("ListVariables", service_id=service.id, rendered=rendered)
            assert "hunter2" not in str(listed)
    sealed = [each for each in listed.variables if each.sealed]
    assert sealed == []
    shown = (await api.call("ListVariables", service_id=web.id, rendered=True)).variables
    assert [each.value for each in shown if each.name == "URL"] == ["pg://${{db.PIN}}@h"]
    answer = await api.render(web)
    assert answer.values["URL"] == "pg://hunter2@h"
    assert list(answer.secret_names) == ["URL"]
    assert list((await api.render(db)).secret_names) == ["PIN"]


async def test_what_is_sealed_cannot_be_unsealed(api: Api) -> None:
    web = await api.service(await api.project())
    await api.call("SetVariables", service_id=web.id, values={"PIN": "one"}, sealed=True)
    await api.set(web, PIN="two")
    assert await api.written(web) == {"PIN": ""}
    assert (await api.render(web)).values["PIN"] == "two"
    await api.call("SetVariables", service_id=web.id, values={"PIN": "three"}, replace=True)
    assert await api.written(web) == {"PIN": ""}


async def test_what_leads_nowhere_or_round_is_refused_when_it_is_written(api: Api) -> None:
    project = await api.project()
    web, backend = await api.service(project, "web"), await api.service(project, "api")
    await api.set(backend, B="1")
    await api.set(web, A="${{api.B}}")
    circle = await api.refused(Invalid, "SetVariables", service_id=backend.id, values={"B": "${{web.A}}"})
    assert "api.B → web.A → api.B" in circle.message
    unknown = await api.refused(Invalid, "SetVariables", service_id=web.id, values={"A": "${{api.NOPE}}"})
    assert "web.A → api.NOPE" in unknown.message
    nobody = await api.refused(Invalid, "SetVariables", service_id=web.id, values={"A": "${{apy.B}}"})
    assert "web.A → apy.B" in nobody.message
    assert "Did you mean “api”" in str(nobody)
    shared = await api.refused(Invalid, "SetVariables", service_id=web.id, values={"A": "${{shared.X}}"})
    assert "web.A → shared.X" in shared.message
    values = {"S": "${{T}}", "T": "${{S}}"}
    sealed = await api.refused(Invalid, "SetVariables", service_id=web.id, values=values, sealed=True)
    assert "web.S → web.T → web.S" in sealed.message
    assert await api.written(web) == {"A": "${{api.B}}"}
    assert await api.written(backend) == {"B": "1"}


async def test_what_others_refer_to_is_not_taken_away(api: Api) -> None:
    project = await api.project()
    web, backend = await api.service(project, "web"), await api.service(project, "api")
    await api.share(project, S="s")
    await api.set(backend, B="1", C="${{B}}")
    await api.set(web, A="${{api.C}} ${{shared.S}}")
    in_use = await api.refused(Conflict, "DeleteVariable", service_id=backend.id, name="C")
    assert "api.C is in use: web.A refers to it" in in_use.message
    await api.refused(Conflict, "DeleteVariable", service_id=backend.id, name="B")
    await api.refused(Conflict, "DeleteVariable", environment_id=project.environments[0].id, name="S")
    await api.refused(Conflict, "SetVariables", service_id=backend.id, values={"B": "1"}, replace=True)
    kept = await api.refused(Conflict, "DeleteService", service_id=backend.id)
    assert "The service api is in use in production: web.A refers to it" in kept.message
    await api.set(web, A="free")
    await api.call("SetVariables", service_id=backend.id, replace=True)
    await api.call("DeleteService", service_id=backend.id)


async def test_references_survive_a_rename_and_mean_the_same_service(api: Api) -> None:
    project = await api.project()
    web, backend = await api.service(project, "web"), await api.service(project, "api")
    await api.set(backend, HOST="${{LIGHTRAIL_SERVICE_NAME}}")
    await api.set(web, URL="http://${{ api.HOST }}")
    await api.call("UpdateService", service_id=backend.id, name="backend")
    await api.service(project, "api")
    assert await api.written(web) == {"URL": "http://${{ backend.HOST }}"}
    assert (await api.render(web)).values["URL"] == "http://backend"


async def test_an_earlier_version_renders_as_it_did(api: Api) -> None:
    project = await api.project()
    web, backend = await api.service(project, "web"), await api.service(project, "api")
    await api.set(backend, B="old")
    first = await api.set(web, A="${{api.B}}", X="1")
    before = await api.render(web)
    await api.set(backend, B="new")
    await api.call("SetVariables", service_id=web.id, values={"A": "${{api.B}}", "Y": "2"}, replace=True)
    now = await api.render(web)
    assert (before.version, now.version) == (first, first + 2)
    assert (now.values["A"], now.values["Y"]) == ("new", "2")
    assert "X" not in now.values
    assert (await api.render(web, version=before.version)).values == before.values
    assert (await api.render(web, version=now.version)).values == now.values
    await api.refused(Invalid, "RenderVariables", DEPLOY, service_id=web.id, version=99)


async def test_an_earlier_version_that_refers_to_a_deleted_service_says_so(api: Api) -> None:
    project = await api.project()
    web, backend = await api.service(project, "web"), await api.service(project, "api")
    await api.set(backend, B="1")
    version = await api.set(web, A="${{api.B}}")
    await api.set(web, A="free")
    await api.call("DeleteService", service_id=backend.id)
    assert (await api.render(web)).values["A"] == "free"
    with pytest.raises(Invalid, match=r"web\.A → api\.B: the service api was deleted"):
        await api.render(web, version=version)


async def test_functions_give_a_value_once(api: Api) -> None:
    web = await api.service(await api.project())
    await api.set(web, A='${{secret(20, "ab")}}', B="n${{randomInt(5,6)}}", C="${{A}}")
    written = await api.written(web)
    assert set(written["A"]) <= set("ab")
    assert len(written["A"]) == 20
    assert written["B"] in {"n5", "n6"}
    assert (await api.render(web)).values["C"] == written["A"]


async def test_limits_are_kept(api: Api) -> None:
    web = await api.service(await api.project())
    await api.set(web, BIG="x" * 65536)
    await api.refused(Invalid, "SetVariables", service_id=web.id, values={"A": "x" * 65537})
    many = {f"V{number}": str(number) for number in range(1000)}
    await api.refused(Invalid, "SetVariables", service_id=web.id, values=many)
    await api.call("SetVariables", service_id=web.id, values=many, replace=True)
    assert len(await api.written(web)) == 1000
    for name in ("LIGHTRAIL_SERVICE_ID", "PORT", "1A", "A" * 257, "A B", ""):
        await api.refused(Invalid, "SetVariables", service_id=web.id, values={name: "x"})
    await api.refused(Invalid, "SetVariables", service_id=web.id, values={"A": "zero\0byte"})
    await api.refused(Invalid, "SetVariables", values={"A": "1"})


async def test_only_the_platforms_services_render(api: Api) -> None:
    web = await api.service(await api.project())
    await api.refused(Denied, "RenderVariables", service_id=web.id)
    await api.refused(Denied, "RenderVariables", member(), service_id=web.id)


async def test_a_host_name_that_is_needed_while_the_router_is_away_can_be_had_later(api: Api) -> None:
    api.router.away = True
    project = await api.project()
    web, worker = await api.service(project), await api.service(project, "worker", kind="worker")
    await api.refused(Unavailable, "RenderVariables", DEPLOY, service_id=web.id)
    await api.render(worker)
    await api.set(worker, FRONT="http://${{web.LIGHTRAIL_PUBLIC_DOMAIN}}")
    await api.refused(Unavailable, "RenderVariables", DEPLOY, service_id=worker.id)
    listed = (await api.call("ListVariables", service_id=worker.id, rendered=True)).variables
    assert [each.value for each in listed if each.name == "FRONT"] == ["http://${{web.LIGHTRAIL_PUBLIC_DOMAIN}}"]
    api.router.away = False
    assert (await api.render(worker)).values["FRONT"] == "http://web-production.localhost"


async def test_nothing_readable_is_kept(api: Api) -> None:
    web = await api.service(await api.project())
    await api.set(web, TOKEN="hunter2hunter2")
    rows = await api.db.fetch("select * from variable_values")
    assert len(rows) == 1
    assert b"hunter2" not in b"".join(bytes(str(value), "utf8") for value in rows[0].values())
    assert b"hunter2" not in rows[0]["box"]
    dumped = str(await api.db.fetch("select * from outbox"))
    assert "hunter2" not in dumped


@pytest.mark.parametrize(
    "swap",
    [
        "update variable_values v set box = w.box from variable_values w where v.name = 'A' and w.name = 'B'",
        "update variable_values set name = 'C' where name = 'A'",
        "update variable_values set sealed = false where name = 'S'",
        "update variable_values set service_id = (select max(id) from services) where name = 'A'",
    ],
)
async def test_rows_that_were_changed_behind_the_platform_do_not_open(api: Api, swap: str) -> None:
    project = await api.project()
    web, _other = await api.service(project, "web"), await api.service(project, "other")
    await api.set(web, A="one", B="two")
    await api.call("SetVariables", service_id=web.id, values={"S": "three"}, sealed=True)
    moved = "service_id =" in swap
    await api.db.execute(swap)
    if moved:
        await api.db.execute("update variable_versions set service_id = (select max(id) from services)")
        web = _other
    with pytest.raises(Invalid, match="changed or moved"):
        await api.render(web)


async def test_changes_made_at_the_same_time_are_all_kept(api: Api) -> None:
    web = await api.service(await api.project())
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(api.set(web, **{f"V{number}": str(number)})) for number in range(12)]
    assert sorted(task.result() for task in tasks) == list(range(1, 13))
    assert await api.written(web) == {f"V{number}": str(number) for number in range(12)}


async def test_two_halves_of_a_circle_made_at_the_same_time_are_not_both_kept(api: Api) -> None:
    project = await api.project()
    web, backend = await api.service(project, "web"), await api.service(project, "api")
    await api.set(web, A="1")
    await api.set(backend, B="1")

    async def tried(service: object, **values: str) -> bool:
        try:
            await api.set(service, **values)  # type: ignore[arg-type]  # one of the two services above
        except Failure:
            return False
        return True

    async with asyncio.TaskGroup() as group:
        one = group.create_task(tried(web, A="${{api.B}}"))
        other = group.create_task(tried(backend, B="${{web.A}}"))
    assert sorted((one.result(), other.result())) == [False, True]


async def test_the_platform_does_not_start_with_another_key(api: Api, key_file: Path) -> None:
    web = await api.service(await api.project())
    await api.set(web, A="1")
    write_key(key_file, 0o600)
    with pytest.raises(Invalid, match="1 variables are encrypted under another key"):
        async with MODULE.open(api.host):
            pass
    write_key(key_file, 0o644)
    with pytest.raises(Invalid, match="reached by others"):
        async with MODULE.open(api.host):
            pass
