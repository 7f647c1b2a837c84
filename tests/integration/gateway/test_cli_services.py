"""`lr service`, against the real API."""

from __future__ import annotations

import re

from tests.integration.gateway.shell import Person, linked


async def test_settings_are_shown_changed_and_put_back(person: Person) -> None:
    await linked(person)
    assert "Nothing is set" in (await person.ok("service", "show")).out
    run = await person.ok("service", "set", "--replicas", "2", "--root-directory", "web", "--kind", "worker")
    assert "lr redeploy" in run.err
    for row in (r"root-directory +web", r"kind +worker", r"replicas +2"):
        assert re.search(row, run.out), row
    run = await person.ok("service", "set", "--unset", "kind", "replicas", "--health-path", "/ok", "--json")
    settings = run.json()["settings"]
    assert (settings["kind"], settings["replicas"], settings["health_path"]) == (None, None, "/ok")
    assert (await person.ok("service", "show", "--json")).json()["settings"] == settings
    assert settings["root_directory"] == "web"


async def test_a_limit_leaves_the_other_one(person: Person) -> None:
    await linked(person)
    await person.ok("service", "set", "--memory", "256Mi")
    shown = (await person.ok("service", "set", "--cpu", "0.5")).out
    assert re.search(r"cpu +500m", shown)
    assert re.search(r"memory +256Mi", shown)
    shown = (await person.ok("service", "set", "--unset", "cpu")).out
    assert "cpu" not in shown
    assert re.search(r"memory +256Mi", shown)
    assert "Nothing is set" in (await person.ok("service", "set", "--unset", "memory")).out


async def test_what_was_set_over_rest_alone_is_shown_and_kept(person: Person) -> None:
    service = await linked(person)
    requests = {"cpu_request": "100m", "memory_request": "64Mi"}
    await person.gateway.json("PATCH", f"/services/{service['id']}", json={"settings": {"resources": requests}})
    await person.ok("service", "set", "--cpu", "1")
    shown = (await person.ok("service", "set", "--unset", "cpu")).out
    assert re.search(r"cpu-request +100m", shown)
    assert re.search(r"memory-request +64Mi", shown)


async def test_what_cannot_be_set_is_told_and_changes_nothing(person: Person) -> None:
    await linked(person)
    for code, arguments, words in (
        (1, ["--unset", "replica"], "There are: builder, root-directory"),
        (1, ["--replicas", "2", "--unset", "replicas"], "set and unset at once"),
        (1, [], "lr service set --replicas 2"),
        (1, ["--replicas", "101"], "replicas"),
        (1, ["--memory", "much"], "memory"),
        (1, ["--cpu", "0"], "It is nothing"),
        (1, ["--memory", "0"], "It is nothing"),
        (2, ["--kind", "cron"], "web"),
    ):
        run = await person.lr("service", "set", *arguments)
        assert run.code == code, arguments
        assert words in run.err + run.out, arguments
    assert "Nothing is set" in (await person.ok("service", "show")).out
