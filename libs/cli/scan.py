"""`lr build scan` and `lr build sbom` over a directory, without a platform."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from libs.cli import pack, screen
from libs.kernel.errors import Invalid

if TYPE_CHECKING:
    from libs.scan.report import Report
    from libs.scan.survey import Surveyed

OFFLINE: Final = "known vulnerabilities are looked up by a platform that has Trivy, not by this command"
_BAD: Final = frozenset({"critical", "high"})


def scan_directory(directory: Path, *, policy: str, severity: str, as_json: bool) -> int:
    """Prints what a scan of the directory finds; 1 when the policy would end a build."""
    from libs.scan.report import Bill, Report, State, Vulnerabilities  # noqa: PLC0415 - other commands need none of it
    from libs.scan.severity import policy_of  # noqa: PLC0415 - the same

    wanted = policy_of(policy, severity, within="--")
    found = survey_directory(directory)
    inventory = found.inventory
    report = Report(
        policy=wanted.tightened(found.asked),
        sbom=Bill(State.DONE, by="lock files", packages=len(inventory.packages), notes=inventory.notes),
        secrets=found.secrets,
        # Who asks here knows that there is no database: it is no reason to say that a build would be blocked.
        vulnerabilities=Vulnerabilities(State.NOT_SCANNED if inventory.packages else State.NOTHING, why=OFFLINE),
    )
    return show_report(report, blocked=bool(report.blocked and report.counted_secrets), as_json=as_json)


def show_report(report: Report, *, blocked: bool, as_json: bool) -> int:
    """Prints a report; 1 when it ends a build."""
    if as_json:
        screen.emit({**report.document(), "blocked": report.blocked if blocked else ""})
        return 1 if blocked else 0
    for line in report.lines():
        word, _, _ = line.partition(":")
        screen.say(screen.styled(line, "red") if word in _BAD else line)
    if blocked:
        screen.say(report.blocked)
    return 1 if blocked else 0


def sbom_of_directory(directory: Path) -> int:
    """Prints the bill of materials of what the directory's lock files name."""
    from libs.scan.cyclonedx import document, spelled  # noqa: PLC0415 - other commands need none of it

    inventory = survey_directory(directory).inventory
    screen.say(spelled(document(inventory, name=directory.resolve().name)).decode().rstrip("\n"))
    return 0


def survey_directory(directory: Path) -> Surveyed:
    """What the files that an upload would have hold. Invalid when there is no such directory."""
    from libs.scan.survey import Survey  # noqa: PLC0415 - other commands need none of it

    if not directory.is_dir():
        raise Invalid(f"{directory} is no directory.", hint="Give the directory that holds your source.")
    survey = Survey()
    for entry, name in pack.walk(directory):
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and (wanted := survey.wants(name)):
            try:
                with Path(entry.path).open("rb") as file:
                    survey.add(name, file.read(wanted), status.st_size)
            except PermissionError as error:
                raise Invalid(f"{entry.path} cannot be read.", hint="Allow it, or ignore it.") from error
    return survey.result()
