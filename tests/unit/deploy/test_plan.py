from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.deploy.domain.machine import State
from services.deploy.domain.model import InstanceState, Settings, Trigger
from services.deploy.domain.plan import LIVENESS_SECONDS, backoff, plan
from services.deploy.domain.steps import GoLive, Move, Publish, Replace, Retire, Start
from tests.unit.deploy.worlds import Simulation, deployment


def live(sim: Simulation, number: int = 1) -> Simulation:
    sim.add(deployment(number))
    sim.settle()
    assert sim.states()[f"dep_{number:03}"] == "active"
    return sim


def test_queued_deployment_with_an_artifact_goes_live() -> None:
    sim = live(Simulation())
    assert sim.serving() == {"dep_001"}


def test_new_version_serves_before_the_old_one_leaves() -> None:
    sim = live(Simulation())
    sim.log.clear()
    sim.add(deployment(2))
    sim.settle()
    assert sim.states() == {"dep_001": "removed", "dep_002": "active"}
    kinds = [type(action) for action in sim.log]
    assert kinds.index(Publish) < kinds.index(GoLive) < kinds.index(Retire)
    assert sim.serving() == {"dep_002"}


def test_old_instances_drain_for_the_time_that_is_set() -> None:
    sim = live(Simulation(settings=Settings(drain_seconds=7)))
    sim.add(deployment(2))
    sim.settle()
    assert [a.drain_seconds for a in sim.log if isinstance(a, Retire)] == [7]


def test_every_replica_is_healthy_before_requests_go_there() -> None:
    sim = Simulation(settings=Settings(replicas=3, health_timeout=60))
    sim.healthy = lambda instance: instance.replica != 2
    sim.add(deployment(1))
    sim.settle()
    assert sim.serving() == set()
    assert sim.states() == {"dep_001": "failed"}


def test_newest_of_several_queued_wins_and_the_others_are_skipped() -> None:
    sim = Simulation()
    sim.add(deployment(1), deployment(2), deployment(3))
    sim.settle()
    assert sim.states() == {"dep_001": "skipped", "dep_002": "skipped", "dep_003": "active"}


def test_one_deployment_at_a_time_is_on_its_way() -> None:
    sim = Simulation()
    sim.add(deployment(1, State.BUILDING, artifact_digest=""), deployment(2))
    sim.step()
    assert sim.states() == {"dep_001": "building", "dep_002": "queued"}


def test_failing_candidate_leaves_the_old_version_serving() -> None:
    sim = live(Simulation(settings=Settings(health_timeout=30)))
    sim.healthy = lambda instance: instance.deployment_id == "dep_001"
    sim.add(deployment(2))
    sim.settle()
    assert sim.states() == {"dep_001": "active", "dep_002": "failed"}
    assert sim.serving() == {"dep_001"}


def test_port_that_is_ignored_fails_with_a_sentence_that_says_so() -> None:
    sim = Simulation(settings=Settings(health_timeout=30))
    sim.healthy = lambda _instance: False
    sim.add(deployment(1))
    sim.settle()
    failed = sim.deployments["dep_001"]
    assert failed.state is State.FAILED
    assert "PORT" in failed.reason
    assert "health_timeout" in failed.reason


def test_crash_loop_ends_crashed_after_its_budget() -> None:
    sim = Simulation(settings=Settings(restart_max_retries=3))
    sim.healthy = lambda _instance: False
    sim.exit_code = lambda _instance: 1
    sim.add(deployment(1))
    sim.settle()
    crashed = sim.deployments["dep_001"]
    assert crashed.state is State.CRASHED
    assert "code 1" in crashed.reason
    assert len([a for a in sim.log if isinstance(a, Replace)]) == 3


def test_restarts_back_off() -> None:
    assert [backoff(n) for n in range(6)] == [0.5, 1, 2, 4, 8, 10]


def test_policy_never_fails_at_the_first_exit() -> None:
    sim = Simulation(settings=Settings(restart_policy="never"))
    sim.healthy = lambda _instance: False
    sim.exit_code = lambda _instance: 1
    sim.add(deployment(1))
    sim.settle()
    assert sim.states() == {"dep_001": "failed"}
    assert not [a for a in sim.log if isinstance(a, Replace)]


def test_worker_is_healthy_by_living_and_gets_no_route() -> None:
    sim = Simulation(settings=Settings(kind="worker"))
    sim.healthy = lambda _instance: False
    sim.add(deployment(1))
    sim.settle()
    assert sim.states() == {"dep_001": "active"}
    assert not [a for a in sim.log if isinstance(a, Publish)]
    sim.now += timedelta(hours=1)
    assert (sim.step().again or 0) >= LIVENESS_SECONDS, "a calm worker is looked at seldom"


def test_worker_that_completes_is_removed_and_says_so() -> None:
    sim = Simulation(settings=Settings(kind="worker"))
    sim.add(deployment(1))
    sim.settle(most=60)
    sim.exit_code = lambda _instance: 0
    sim.settle()
    assert sim.states() == {"dep_001": "removed"}
    assert "Completed" in sim.deployments["dep_001"].reason


def test_unhealthy_replica_leaves_the_edge_before_it_is_restarted() -> None:
    sim = live(Simulation(settings=Settings(replicas=2)))
    sick = next(iter(sim.instances))
    sim.log.clear()
    sim.healthy = lambda instance: instance.id != sick
    sim.settle(most=40)
    publish = next(n for n, a in enumerate(sim.log) if isinstance(a, Publish))
    replaced = next(n for n, a in enumerate(sim.log) if isinstance(a, Replace))
    gone = sim.log[publish]
    assert isinstance(gone, Publish)
    assert sick not in {endpoint.instance_id for endpoint in gone.endpoints}
    assert publish < replaced
    assert len(sim.route.endpoints) == 2


def test_instance_lost_with_the_machine_starts_again_whatever_its_policy() -> None:
    sim = live(Simulation(settings=Settings(restart_policy="never")))
    (lost,) = [i for i in sim.instances.values() if i.state is InstanceState.HEALTHY]
    sim.observed[lost.id] = replace(sim.observed[lost.id], alive=False, exit_code=None)
    sim.settle(most=40)
    (again,) = [i for i in sim.instances.values() if i.state is InstanceState.HEALTHY]
    assert again.restarts == 1
    assert sim.serving() == {"dep_001"}


def test_instance_that_is_lost_again_and_again_ends_crashed() -> None:
    sim = Simulation(settings=Settings(restart_max_retries=3))
    sim.add(deployment(1))
    for _ in range(60):
        for name, seen in list(sim.observed.items()):
            sim.observed[name] = replace(seen, alive=False, exit_code=None)
        sim.step()
        sim.now += timedelta(seconds=2)
    assert sim.states() == {"dep_001": "crashed"}


def test_new_variables_never_push_aside_code_that_is_queued() -> None:
    sim = live(Simulation())
    sim.add(deployment(2, artifact_digest="sha256:new"), deployment(3, trigger=Trigger.VARIABLES))
    sim.settle()
    assert sim.states() == {"dep_001": "removed", "dep_002": "active", "dep_003": "skipped"}


@pytest.mark.parametrize("made", [True, False])
def test_rollout_that_the_platform_cannot_carry_out_ends(made: bool) -> None:  # noqa: FBT001 - a table of cases
    stuck = deployment(1, State.DEPLOYING, settings=Settings(health_timeout=30) if made else None)
    sim = Simulation()
    sim.add(stuck)
    sim.now += timedelta(hours=1)
    decided = plan(sim.world())
    assert [(type(a), a.state) for a in decided.actions if isinstance(a, Move)] == [(Move, State.FAILED)]


def test_start_that_never_works_fails_at_the_health_timeout() -> None:
    class Stubborn(Simulation):
        def _take(self, action: object) -> None:
            if not isinstance(action, Start):
                super()._take(action)  # type: ignore[arg-type]

    sim = Stubborn(settings=Settings(health_timeout=30))
    sim.add(deployment(1))
    for _ in range(100):
        sim.step()
        sim.now += timedelta(seconds=1)
    assert sim.states() == {"dep_001": "failed"}


def test_out_of_memory_is_said_as_such() -> None:
    sim = live(Simulation(settings=Settings(restart_policy="never")))
    (one,) = sim.instances.values()
    sim.observed[one.id] = replace(sim.observed[one.id], alive=False, exit_code=137, oom=True)
    sim.settle()
    assert "out of memory" in sim.deployments["dep_001"].reason


def test_removed_service_answers_nothing_before_its_instances_stop() -> None:
    sim = live(Simulation())
    sim.deployments["dep_001"] = sim.deployments["dep_001"].move(State.REMOVING, "Removed on request.", sim.now)
    sim.log.clear()
    sim.settle()
    assert [type(a) for a in sim.log[:2]] == [Publish, Retire]
    assert sim.states() == {"dep_001": "removed"}
    assert sim.deployments["dep_001"].reason == "Removed on request."


def test_build_nobody_reports_on_ends_failed() -> None:
    sim = Simulation()
    sim.add(deployment(1, State.BUILDING, artifact_digest=""))
    sim.now += timedelta(hours=2)
    sim.step()
    assert sim.states() == {"dep_001": "failed"}


@pytest.mark.parametrize("crashed_at", range(14))
def test_planning_goes_on_from_wherever_it_was_left(crashed_at: int) -> None:
    """A platform that dies after any number of steps ends with the same result."""
    sim = live(Simulation())
    sim.add(deployment(2))
    for _ in range(crashed_at):
        sim.step()
        sim.now += timedelta(seconds=0.1)
    sim.settle()
    assert sim.states() == {"dep_001": "removed", "dep_002": "active"}
    assert sim.serving() == {"dep_002"}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["deploy", "remove", "crash", "sick", "wait"]), st.integers(0, 3)), max_size=12),
    st.integers(1, 3),
)
def test_whatever_happens_it_settles_with_one_active_and_requests_only_to_it(
    happenings: list[tuple[str, int]], replicas: int
) -> None:
    sim = Simulation(settings=Settings(replicas=replicas, restart_max_retries=2, health_timeout=20))
    sick: set[str] = set()
    sim.healthy = lambda instance: instance.deployment_id not in sick
    for number, (what, amount) in enumerate(happenings):
        if what == "deploy":
            sim.add(deployment(number + 1))
        elif what == "remove":
            for name, one in list(sim.deployments.items())[amount : amount + 1]:
                if one.state is State.ACTIVE:
                    sim.deployments[name] = one.move(State.REMOVING, "", sim.now)
        elif what == "crash":
            for name, seen in list(sim.observed.items())[:amount]:
                sim.observed[name] = replace(seen, alive=False, exit_code=1)
        elif what == "sick":
            sick.add(f"dep_{amount:03}")
        for _ in range(amount):
            sim.step()
            sim.now += timedelta(seconds=0.5)
    sim.settle()
    active = [name for name, state in sim.states().items() if state == "active"]
    assert len(active) <= 1
    assert sim.serving() <= set(active)
    assert not {"queued", "initializing", "deploying", "removing"} & set(sim.states().values())
    running = [i for i in sim.instances.values() if i.state is not InstanceState.EXITED]
    assert {i.deployment_id for i in running} <= set(active)


def test_nothing_to_do_means_no_step_and_no_time() -> None:
    assert plan(Simulation().world()) == plan(Simulation().world())
    decided = plan(Simulation().world())
    assert (decided.actions, decided.again) == ((), None)
