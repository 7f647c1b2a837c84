"""Ctrl-C in `lr up` before there is a deployment to follow, against the real API."""

from __future__ import annotations

import json
import signal

import pytest

from libs.testing.eventually import eventually
from tests.integration.gateway.shell import Person, Run, linked

NOTHING = "Nothing was deployed."
MAYBE = "may have been asked for"


async def left(person: Person, held: str, *arguments: str) -> Run:
    """Types Ctrl-C while the platform works at an RPC that it does not answer."""
    world = person.gateway.world
    world.held.add(held)
    process = await person.start(*arguments)
    await eventually(lambda: held in [name for name, _ in world.calls], within=30)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    world.held.clear()
    await world.tell()
    return Run(process.returncode or 0, out.decode(), err.decode())


@pytest.mark.parametrize(("held", "said"), [("UploadSnapshot", NOTHING), ("CreateDeployment", MAYBE)])
async def test_who_leaves_before_there_is_a_deployment_is_told_what_became_of_it(
    person: Person, held: str, said: str
) -> None:
    await linked(person)
    run = await left(person, held, "up")
    assert run.code == 130
    assert said in run.err
    assert "lr " in run.err.partition(said)[2]
    assert "Traceback" not in run.err
    assert bool(person.gateway.world.deployments) is (said == MAYBE)


@pytest.mark.parametrize(("held", "asked"), [("UploadSnapshot", False), ("CreateDeployment", True)])
async def test_as_json_the_last_line_says_that_one_left(person: Person, *, held: str, asked: bool) -> None:
    await linked(person)
    run = await left(person, held, "up", "--json", "--detach")
    assert (run.code, run.err) == (130, "")
    last = json.loads(run.out.splitlines()[-1])
    assert (last["type"], last["deployment_id"], last["asked"]) == ("detached", None, asked)


@pytest.mark.parametrize("verb", ["redeploy", "rollback"])
async def test_the_verbs_that_deploy_again_say_it_too(person: Person, verb: str) -> None:
    await linked(person)
    await person.ok("up", "--detach")
    deployment = next(iter(person.gateway.world.deployments))
    run = await left(person, verb.capitalize(), verb, deployment)
    assert run.code == 130
    assert MAYBE in run.err
