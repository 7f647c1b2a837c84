"""The live feed: who sees what, and a slow watcher slows nobody."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from libs.facts.fact import Fact
from libs.kernel.context import Actor, Role
from libs.kernel.errors import Unavailable
from libs.protogen.lightrail.deploy.v1 import events_pb2 as deploy_events
from libs.protogen.lightrail.project.v1 import events_pb2 as project_events
from services.gateway.app.feed import Feed, about, visible
from services.gateway.app.ports import DeadLetter, Event
from services.gateway.app.timeline import tell
from services.gateway.events.codec import PAYLOADS, decode

START = datetime(2026, 1, 1, tzinfo=UTC)
MEMBER = Actor(kind="user", id="usr_1", roles={"wsp_1": Role.VIEWER})


def event(number: int = 1, *, source: str = "deploy", workspace: str = "wsp_1", at: int = 0, **data: object) -> Event:
    return Event(
        id=f"fct_{source}{number}",
        source=source,
        sequence=number,
        subject=f"lightrail.{source}.thing.happened.v1",
        workspace_id=workspace,
        correlation_id="dep_1",
        recorded_at=START.replace(second=at),
        data=data,
    )


def test_only_members_see_an_event() -> None:
    wanted = visible(MEMBER)
    assert wanted(event())
    assert not wanted(event(workspace="wsp_2"))
    assert not wanted(event(workspace=""))


def test_a_token_for_one_project_sees_that_project_only() -> None:
    bound = Actor(kind="user", roles={"wsp_1": Role.OWNER}, project_id="prj_1", environment_id="env_1")
    wanted = visible(bound)
    assert wanted(event(project_id="prj_1", environment_id="env_1"))
    assert not wanted(event(project_id="prj_1", environment_id="env_2"))
    assert not wanted(event(project_id="prj_2"))
    assert not wanted(event())


def test_a_filter_narrows_and_never_widens() -> None:
    assert visible(MEMBER, project_id="prj_1")(event(project_id="prj_1"))
    assert not visible(MEMBER, project_id="prj_1")(event())
    assert not visible(MEMBER, workspace_id="wsp_2")(event())
    assert not visible(MEMBER, workspace_id="wsp_2")(event(workspace="wsp_2"))


def test_events_of_a_deployment_take_its_project_from_an_earlier_one() -> None:
    feed = Feed()
    with feed.watch(lambda _: True) as watch:
        feed.publish(event(1, project_id="prj_1", environment_id="env_1"))
        feed.publish(event(1, source="build"))
        assert [row.project_id for row in watch.take()] == ["prj_1", "prj_1"]


def test_a_slow_watcher_loses_the_oldest_and_nobody_else_does() -> None:
    feed = Feed()
    with feed.watch(lambda _: True, backlog=2) as slow, feed.watch(about("dep_1")) as other:
        for number in range(5):
            feed.publish(event(number))
        assert [row.sequence for row in slow.take()] == [3, 4]
        assert slow.lost == 3
        assert len(other.take()) == 5


async def test_waiting_ends_with_an_event_with_time_and_with_the_feed() -> None:
    feed = Feed()
    with feed.watch(lambda _: True) as watch:
        await watch.wait(0.01)
        assert watch.take() == []
        feed.publish(event())
        await watch.wait(60)
        feed.close()
        ends = [watch.closed, len(watch.take()), watch.closed]
        assert ends == [False, 1, True], "what is queued is still given out"
        await watch.wait(60)
    with feed.watch(lambda _: True) as late:
        assert late.closed


def fact(subject: str, payload: bytes) -> Fact:
    return Fact("fct_1", "deploy", 1, subject, "wsp_1", "dep_1", START, payload)


def test_payloads_are_shown_as_json_values() -> None:
    changed = deploy_events.DeploymentChanged(deployment_id="dep_1", state="active")
    told = decode(fact("lightrail.deploy.deployment.went_live.v1", changed.SerializeToString()))
    assert told.data == {"deployment_id": "dep_1", "state": "active"}
    variables = project_events.VariablesChanged(service_id="svc_1", version=2**40)
    told = decode(fact("lightrail.project.variables.changed.v1", variables.SerializeToString()))
    assert told.data["version"] == 2**40


@pytest.mark.parametrize("payload", [b"", b"\xff\xff", b"\x00"])
@pytest.mark.parametrize("subject", ["lightrail.nobody.knows.this.v1", *sorted(PAYLOADS)[:3]])
def test_what_cannot_be_read_is_shown_without_data(subject: str, payload: bytes) -> None:
    assert decode(fact(subject, payload)).data == {}


class Sources:
    """Sources of facts; those without any are away."""

    def __init__(self, **rows: list[Event] | None) -> None:
        self.rows = rows

    @property
    def names(self) -> list[str]:
        return list(self.rows)

    async def about(self, source: str, correlation_id: str) -> list[Event]:
        found = self.rows[source]
        if found is None:
            raise Unavailable("away")
        return found

    async def dead_letters(self, service: str, ctx: Any) -> list[DeadLetter]:
        return []

    async def replay(self, service: str, fact_id: str, ctx: Any) -> None:
        return None


async def test_a_timeline_is_in_order_of_time_and_keeps_each_sources_own_order() -> None:
    # Build's clock went back between its two facts.
    sources = Sources(
        deploy=[event(1, at=1), event(2, at=5)], build=[event(1, source="build", at=3), event(2, source="build", at=2)]
    )
    told = await tell(sources, "wsp_1", "dep_1")
    assert [(row.source, row.sequence) for row in told.events] == [
        ("deploy", 1), ("build", 1), ("build", 2), ("deploy", 2),
    ]  # fmt: skip


async def test_a_timeline_names_who_is_away_and_hides_other_workspaces() -> None:
    sources = Sources(deploy=[event(1), event(2, workspace="wsp_2")], build=None)
    told = await tell(sources, "wsp_1", "dep_1")
    assert [row.sequence for row in told.events] == [1]
    assert told.missing == ["build"]
