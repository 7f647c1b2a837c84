from __future__ import annotations

import json
from datetime import UTC, datetime

from libs.plans.detect import make_plan
from libs.plans.plan import PlanSettings
from libs.plans.tree import tree_of
from services.build.domain.model import Artifact, Build, BuildState
from services.build.domain.provenance import Made, Material, Origin, statement

NOW = datetime(2026, 1, 31, 12, 30, 1, 500, tzinfo=UTC)
SOURCE, LOCK = "sha256:" + "1" * 64, "sha256:" + "2" * 64
ARTIFACT = Artifact((), "python main.py", "/app", "web", "python")
BUILD = Build(
    "bld_1", "wsp_1", "prj_1", "svc_1", "env_1", "dep_1", "snp_1", BuildState.RUNNING, NOW, started_at=NOW, attempt=1
)


def made(secrets: frozenset[str] = frozenset(), command: str = "") -> Made:
    plan = make_plan(tree_of({"main.py": "print(1)"}), PlanSettings(build_command=command))
    origin = Origin("slug", (Material("uv.lock", LOCK), Material("runtime", "", "pkg:generic/python@3.11.2")))
    return Made(BUILD, SOURCE, plan.document(), ["TOKEN", "A"], origin, "1.2.3", NOW, secrets)


def test_the_statement_is_slsa_provenance_of_version_1() -> None:
    told = statement(made(), ARTIFACT)
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicateType"] == "https://slsa.dev/provenance/v1"
    assert told["subject"] == [{"name": "artifact", "digest": {"sha256": ARTIFACT.digest[7:]}}]
    defined, ran = told["predicate"]["buildDefinition"], told["predicate"]["runDetails"]
    assert defined["resolvedDependencies"] == [
        {"name": "source", "uri": "urn:lightrail:snapshot:snp_1", "digest": {"sha256": "1" * 64}},
        {"name": "uv.lock", "digest": {"sha256": "2" * 64}},
        {"name": "runtime", "uri": "pkg:generic/python@3.11.2"},
    ]
    assert defined["externalParameters"]["source"] == defined["resolvedDependencies"][0]
    assert defined["externalParameters"]["plan"]["provider"] == "python"
    assert ran["builder"] == {"id": "urn:lightrail:builder:slug", "version": {"lightrail": "1.2.3"}}
    assert ran["metadata"]["invocationId"] == "bld_1"
    assert ran["metadata"]["startedOn"] == "2026-01-31T12:30:01Z"


def test_variables_are_told_by_name_and_a_secret_in_a_command_is_masked() -> None:
    told = statement(made(frozenset({"s3cret-value"}), "curl -H 's3cret-value' x && echo fine"), ARTIFACT)
    parameters = told["predicate"]["buildDefinition"]["externalParameters"]
    assert parameters["variables"] == ["A", "TOKEN"]
    assert "s3cret" not in json.dumps(told)
    assert parameters["plan"]["steps"][-1]["commands"][-1][2] == "curl -H '•••' x && echo fine"


def test_what_is_made_does_not_show_its_secrets() -> None:
    assert "s3cret" not in repr(made(frozenset({"s3cret-value"})))
