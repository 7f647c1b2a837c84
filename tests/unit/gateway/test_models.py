"""Amounts, settings and problems as people write and read them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from libs.kernel.errors import Conflict, Denied, Exhausted, Failure, Invalid, NotFound, Unavailable
from services.gateway.http.models.deployments import NewDeployment, state_name
from services.gateway.http.models.projects import Settings
from services.gateway.http.models.resources import Resources, memory, millicores
from services.gateway.http.problems import TooLarge, of_failure

SERVICE, SNAPSHOT = "svc_" + "0" * 26, "snp_" + "0" * 26


@pytest.mark.parametrize(("written", "amount"), [("500m", 500), ("0.5", 500), (0.5, 500), (2, 2000), ("1.25", 1250)])
def test_cpu(written: str | float, amount: int) -> None:
    assert millicores(written) == amount


@pytest.mark.parametrize("written", ["", "m", "-1", "1e3", "x", "0.0001", "99999999m", "nan", "1 2"])
def test_what_is_no_cpu(written: str) -> None:
    with pytest.raises(ValueError, match="CPU"):
        millicores(written)


@pytest.mark.parametrize(
    ("written", "amount"), [("512Mi", 2**29), ("512MiB", 2**29), ("1g", 2**30), (1024, 1024), ("0.5Gi", 2**29)]
)
def test_memory(written: str | int, amount: int) -> None:
    assert memory(written) == amount


@pytest.mark.parametrize("written", ["", "Mi", "-1", "many", "9" * 30])
def test_what_is_no_memory(written: str) -> None:
    with pytest.raises(ValueError, match="memory"):
        memory(written)


def test_resources_go_over_the_wire_and_back() -> None:
    asked = Resources(cpu_limit="1500m", memory_limit="256Mi", memory_request=1000)
    assert Resources.of(asked.wire()) == asked


def test_settings_go_over_the_wire_and_back_and_null_means_unset() -> None:
    asked = Settings(replicas=3, health_path="/ok", kind="worker", start_command=None)
    assert asked.cleared() == ["start_command"]
    back = Settings.of(asked.wire())
    assert (back.replicas, back.health_path, back.kind, back.start_command) == (3, "/ok", "worker", None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"service_id": SERVICE, "snapshot_id": SNAPSHOT, "git": {}},
        {"service_id": SERVICE, "snapshot_id": SNAPSHOT, "image_url": "a"},
        {"service_id": SERVICE, "service_name": "x", "snapshot_id": SNAPSHOT},
        {"service_name": "x", "snapshot_id": SNAPSHOT},
        {"service_id": SERVICE, "snapshot_id": SNAPSHOT, "replicas": 0},
        {"service_id": SERVICE, "snapshot_id": SNAPSHOT, "replicas": "2"},
        {"service_id": SERVICE, "snapshot_id": SNAPSHOT, "env_vars": {"A=B": "1"}},
        {"service_id": SERVICE, "snapshot_id": SNAPSHOT, "env_vars": {"A": "x" * 70_000}},
        {"service_id": SERVICE, "image_url": "-v /:/host"},
        {"service_id": SERVICE, "snapshot_id": SNAPSHOT, "unknown": 1},
    ],
)
def test_wrong_deployments_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NewDeployment.model_validate(body)


def test_a_service_alone_means_its_own_source() -> None:
    asked = NewDeployment.model_validate({"service_id": SERVICE}).wire("")
    assert (asked.service_id, asked.snapshot_id, asked.image_url, asked.HasField("git")) == (SERVICE, "", "", False)


def test_ids_of_the_wrong_shape_do_not_exist() -> None:
    with pytest.raises(NotFound):
        NewDeployment.model_validate({"service_id": "svc_'; drop table", "snapshot_id": SNAPSHOT})


def test_a_state_of_a_newer_platform_is_unknown_not_a_crash() -> None:
    assert (state_name(7), state_name(99)) == ("active", "unknown")


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (NotFound("m"), 404, "not_found"),
        (Conflict("m"), 409, "conflict"),
        (Invalid("m", field="f", hint="h"), 422, "invalid"),
        (Denied("m"), 403, "denied"),
        (Denied("m", unauthenticated=True), 401, "denied"),
        (Exhausted("m"), 429, "exhausted"),
        (TooLarge("m"), 413, "exhausted"),
        (Unavailable("m"), 503, "unavailable"),
    ],
)
def test_every_failure_has_its_status(failure: Failure, status: int, kind: str) -> None:
    document = of_failure(failure, "req_1")
    assert (document.status, document.kind, document.detail, document.request_id) == (status, kind, "m", "req_1")
    assert document.title != "m"
    assert (document.field, document.hint) == (failure.field, failure.hint)
