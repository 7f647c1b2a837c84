"""Directories whose link leads nowhere any more, and names that cannot be."""

from __future__ import annotations

import pytest

from tests.integration.gateway.shell import Person


async def test_a_directory_whose_project_is_gone_is_linked_to_a_new_one(person: Person) -> None:
    world = person.gateway.world
    await person.ok("init", "--name", "before")
    world.projects.clear()
    for arguments in (["status"], ["up"], ["settings"], ["logs", "--service", "web"]):
        run = await person.lr(*arguments)
        assert run.code == 1, arguments
        assert "lr init" in run.err, arguments
    await person.ok("init", "--name", "after")
    assert [project.name for project in world.projects.values()] == ["after"]
    assert (await person.ok("status", "--json")).json()["project_name"] == "after"
    world.projects.clear()
    await person.ok("up", "--new", "site", "--detach")
    assert [project.name for project in world.projects.values()] == ["site"]
    assert len(world.deployments) == 1


@pytest.mark.parametrize("name", ["Bad Name", "shared"])
async def test_a_name_that_no_service_may_have_makes_no_project(person: Person, name: str) -> None:
    run = await person.lr("up", "--new", name)
    assert run.code == 1
    assert name in run.err
    assert person.gateway.world.projects == {}


async def test_a_command_that_is_proposed_can_be_pasted(person: Person) -> None:
    run = await person.lr("build", "sbom", "my site")
    assert run.code == 1
    assert "--dir 'my site'" in run.err
