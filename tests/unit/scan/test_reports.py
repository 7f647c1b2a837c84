"""What a report says: what was not scanned is never called clean, and only a policy that blocks ends a build."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.errors import Invalid
from libs.scan.report import Bill, Report, Secrets, State, Vulnerabilities, report_of
from libs.scan.secrets.look import SecretFinding
from libs.scan.severity import Action, Policy, Severity, policy_of, severity_of
from libs.scan.vulnerability import Vulnerability

KEY = SecretFinding("src/a.py", 3, "github-token", "GitHub token", Severity.CRITICAL, "ghp_…")
WEAK = SecretFinding("src/b.py", 9, "generic-secret", "secret in the source", Severity.MEDIUM, "…")
KNOWN = Vulnerability("CVE-2019-11358", "jquery", "3.3.9", Severity.MEDIUM, "3.4.0", "Prototype pollution", "https://a")
WORSE = Vulnerability("GHSA-1", "lodash", "4.17.4", Severity.CRITICAL)
BILL = Bill(State.DONE, by="lock files", digest="sha256:0", packages=2, notes=("a note",))
BLOCK = Policy(Action.BLOCK, Severity.HIGH)
SCANNED = Vulnerabilities(State.DONE, by="Trivy 0.58", database="2026-11-20")


def report(
    policy: Policy = BLOCK,
    secrets: Secrets | None = None,
    known: Vulnerabilities = SCANNED,
    bill: Bill = BILL,
) -> Report:
    return Report(policy, bill, secrets or Secrets(State.DONE, files=7), known)


def test_nothing_found_blocks_nothing_and_says_what_was_looked_at() -> None:
    told = report()
    assert told.blocked == ""
    assert "no secrets found in 7 files" in told.summary
    assert "no known vulnerabilities (Trivy 0.58, database of 2026-11-20)" in told.summary


def test_findings_block_with_their_places_and_what_to_do() -> None:
    told = report(secrets=Secrets(State.DONE, files=7, findings=(KEY, WEAK))).blocked
    assert "src/a.py:3 (GitHub token, ghp_…)" in told
    assert "src/b.py" not in told
    assert "Take them out of the source" in told
    known = Vulnerabilities(State.DONE, by="Trivy", findings=(WORSE, KNOWN))
    told = report(known=known).blocked
    assert "lodash@4.17.4 (GHSA-1, no fixed version yet)" in told
    assert "jquery" not in told
    told = report(policy=Policy(Action.BLOCK, Severity.LOW), known=known).blocked
    assert "jquery@3.3.9 (CVE-2019-11358, fixed in 3.4.0)" in told


def test_a_warning_policy_never_blocks() -> None:
    known = Vulnerabilities(State.DONE, by="Trivy", findings=(WORSE,))
    warned = report(Policy(), Secrets(State.DONE, findings=(KEY,)), known)
    assert warned.blocked == ""
    assert [one.id for one in warned.counted_vulnerabilities] == ["GHSA-1"]
    assert "1 secret in the source (1 critical)" in warned.summary


def test_what_was_not_scanned_is_called_so_and_blocks_who_wants_to_know() -> None:
    unknown = Vulnerabilities(State.NOT_SCANNED, why="there is no Trivy on this machine")
    for policy in (BLOCK, Policy()):
        told = report(policy, known=unknown)
        words = " ".join([told.summary, *told.lines()])
        assert "vulnerabilities not scanned: there is no Trivy on this machine" in words
        assert "no known vulnerabilities" not in words
        assert "clean" not in words
    assert "not scanned: vulnerabilities (there is no Trivy on this machine)" in report(known=unknown).blocked
    assert report(Policy(), known=unknown).blocked == ""
    missing = Secrets(State.NOT_SCANNED, why="it took longer than 120 s")
    assert "secrets (it took longer than 120 s)" in report(secrets=missing).blocked
    assert "no secrets" not in report(secrets=missing).summary


def test_a_source_without_packages_has_nothing_to_look_up_and_is_not_blocked() -> None:
    told = report(known=Vulnerabilities(State.NOTHING), bill=Bill(State.DONE))
    assert told.blocked == ""
    assert "no packages to look up" in told.summary


def test_many_findings_are_counted_not_listed() -> None:
    many = tuple(
        Vulnerability(f"CVE-{number}", "p", "1", Severity.HIGH) for number in range(9)
    )  # fmt: skip
    told = report(known=Vulnerabilities(State.DONE, by="Trivy", findings=many, more=100)).blocked
    assert "and 104 more" in told


def test_a_report_told_as_json_is_the_same_report() -> None:
    told = report(
        Policy(Action.BLOCK, Severity.LOW),
        Secrets(State.DONE, "", 3, (KEY, WEAK), 2, 5, ("a note",)),
        Vulnerabilities(State.DONE, "Trivy", "", "2026-11-20", (WORSE, KNOWN), 4),
    )
    assert report_of(json.loads(json.dumps(told.document()))) == told


POLICIES = st.builds(Policy, st.sampled_from(Action), st.sampled_from([one for one in Severity if one.rank]))


@given(POLICIES, POLICIES, st.sampled_from(Severity))
def test_a_source_can_only_be_stricter_than_its_project(project: Policy, source: Policy, severity: Severity) -> None:
    both = project.tightened(source)
    assert both.counts(severity) >= project.counts(severity)
    assert both.counts(severity) >= source.counts(severity)
    assert (both.action is Action.BLOCK) == (Action.BLOCK in {project.action, source.action})
    assert project.tightened(None) == project


def test_policies_are_words_that_are_checked() -> None:
    assert policy_of("", "") == Policy(Action.WARN, Severity.HIGH)
    with pytest.raises(Invalid, match="no scan policy") as wrong:
        policy_of("off", "")
    assert wrong.value.field == "scan_policy"
    with pytest.raises(Invalid, match="one of low, medium, high, critical"):
        policy_of("", "unknown")


def test_what_nobody_rated_counts_as_medium() -> None:
    assert severity_of("SOMETHING") is Severity.UNKNOWN
    assert severity_of("MODERATE") is Severity.MEDIUM
    assert Policy(severity=Severity.MEDIUM).counts(Severity.UNKNOWN)
    assert not Policy(severity=Severity.HIGH).counts(Severity.UNKNOWN)
