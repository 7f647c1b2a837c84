"""The first door: every kind of caller at every kind of row."""

from __future__ import annotations

import pytest

from libs.kernel.context import Actor, Role
from libs.kernel.errors import Denied
from libs.rpc.authorization import NOBODY, Access, Rule, permits, rule, table

ANONYMOUS = Actor(kind="anonymous")
STRANGER = Actor(kind="user", id="usr_1")
VIEWER = Actor(kind="user", id="usr_2", roles={"wsp_1": Role.VIEWER})
OWNER = Actor(kind="user", id="usr_3", roles={"wsp_1": Role.VIEWER, "wsp_2": Role.OWNER})
OPERATOR = Actor(kind="user", id="usr_4", operator=True)
SERVICE = Actor(kind="service", id="deploy", operator=True)
EVERYONE = {
    "anonymous": ANONYMOUS,
    "stranger": STRANGER,
    "viewer": VIEWER,
    "owner": OWNER,
    "operator": OPERATOR,
    "service": SERVICE,
}


def admitted(needed: Rule) -> set[str]:
    return {name for name, actor in EVERYONE.items() if refusal(needed, actor) is None}


def refusal(needed: Rule, actor: Actor) -> Denied | None:
    try:
        permits(needed, actor)
    except Denied as denied:
        return denied
    return None


@pytest.mark.parametrize(
    ("needed", "expected"),
    [
        (Rule(Access.PUBLIC), set(EVERYONE)),
        (Rule(Access.IDENTIFIED), set(EVERYONE) - {"anonymous"}),
        (Rule(Access.MEMBER, Role.VIEWER), {"viewer", "owner", "service"}),
        (Rule(Access.MEMBER, Role.DEVELOPER), {"owner", "service"}),
        (Rule(Access.MEMBER, Role.OWNER), {"owner", "service"}),
        (Rule(Access.OPERATOR), {"operator", "service"}),
        (Rule(Access.SERVICE), {"service"}),
        (NOBODY, set()),
    ],
)
def test_each_rule_admits_exactly_these(needed: Rule, expected: set[str]) -> None:
    assert admitted(needed) == expected


def test_signing_in_is_advised_only_to_those_who_have_not() -> None:
    for access in (Access.IDENTIFIED, Access.MEMBER, Access.OPERATOR, Access.SERVICE):
        told = refusal(Rule(access, Role.VIEWER), ANONYMOUS)
        assert told is not None
        assert told.unauthenticated
    for actor in (STRANGER, VIEWER, OWNER):
        told = refusal(Rule(Access.OPERATOR), actor)
        assert told is not None
        assert not told.unauthenticated


def test_an_rpc_without_a_row_is_open_to_nobody() -> None:
    assert rule("/lightrail.deploy.v1.DeploymentService/Forgotten") is NOBODY
    assert rule("") is NOBODY
    assert rule("/") is NOBODY
    assert rule("lightrail.deploy.v1.DeploymentService") is NOBODY


def test_rows_are_found_with_and_without_the_first_slash() -> None:
    expected = Rule(Access.MEMBER, Role.DEVELOPER)
    assert rule("/lightrail.deploy.v1.DeploymentService/CreateDeployment") == expected
    assert rule("lightrail.deploy.v1.DeploymentService/CreateDeployment") == expected


@pytest.mark.parametrize(
    "method",
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ],
)
def test_health_and_reflection_are_public(method: str) -> None:
    assert rule(method) == Rule(Access.PUBLIC)


def test_a_lookalike_of_a_public_service_is_not_public() -> None:
    assert rule("/grpc.health.v1.HealthX/Check") is NOBODY


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        table()["x"] = Rule(Access.PUBLIC)  # type: ignore[index]
