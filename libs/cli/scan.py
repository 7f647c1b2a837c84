"""`lr build scan` and `lr build sbom`: of a build by the platform, or of a directory without one."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from libs.cli import builds, pack, screen, session
from libs.cli.session import EnvironmentName, Json, ServiceName
from libs.kernel.errors import Invalid
from libs.kernel.ids import is_id

if TYPE_CHECKING:
    from libs.scan.report import Report
    from libs.scan.survey import Surveyed

OFFLINE: Final = "known vulnerabilities are looked up by a platform that has Trivy, not by this command"
_BAD: Final = frozenset({"critical", "high"})


async def scan(
    what: str | None = None,
    *,
    policy: str = "",
    severity: str = "",
    service: ServiceName = None,
    environment: EnvironmentName = None,
    as_json: Json = False,
) -> int:
    """Show what a scan found: packages, secrets in the source, known vulnerabilities.

    Parameters
    ----------
    what
        A build's id or a deployment's; or a directory, which is scanned here without a platform. The newest
        deployment's unless given.
    policy
        With a directory: warn, or block to exit with 1 when there are findings.
    severity
        With a directory: findings this bad or worse count: low, medium, high or critical.
    """
    if what and not _is_id(what):
        return scan_directory(Path(what), policy=policy, severity=severity, as_json=as_json)
    if policy or severity:
        raise Invalid("--policy and --severity are for a directory.", hint="lr build scan . --policy block")
    async with session.connect() as client:
        found = await builds.find(client, what, service=service, environment=environment)
        report = await client.scan(found.id)
    if as_json:
        screen.emit(report)
        return 1 if report.blocked else 0
    screen.say(f"{screen.styled(found.id, 'bold')} of {found.deployment_id}")
    for one in report.secrets.findings:
        screen.say(f"{_marked(one.severity)}: {one.path}:{one.line} ({one.title})")
    for known in report.vulnerabilities.findings:
        remedy = f"fixed in {known.fixed}" if known.fixed else "no fixed version yet"
        screen.say(f"{_marked(known.severity)}: {known.package}@{known.version} ({known.id}, {remedy})")
    for note in (*report.sbom.notes, *report.secrets.notes):
        screen.say(f"note: {note}")
    screen.say(report.summary)
    screen.say(report.blocked or f"policy: {report.policy} at {report.severity} ({report.policy_from})")
    return 1 if report.blocked else 0


async def sbom(
    what: str | None = None,
    *,
    directory: Annotated[Path | None, Parameter(name="--dir")] = None,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    as_json: Json = False,  # noqa: ARG001 - taken as by every verb: it prints nothing but JSON
) -> int:
    """Print a software bill of materials as CycloneDX 1.6, which is JSON.

    Parameters
    ----------
    what
        A build's id or a deployment's; the newest deployment's unless given.
    directory
        Of this directory instead, from its lock files and without a platform.
    """
    if directory is not None:
        return sbom_of_directory(directory)
    if what and not _is_id(what):
        raise Invalid(
            f"“{what}” is no id of a build or a deployment.", hint=f"For a directory: --dir {shlex.quote(what)}"
        )
    async with session.connect() as client:
        found = await builds.find(client, what, service=service, environment=environment)
        screen.say((await client.sbom(found.id)).decode().rstrip("\n"))
    return 0


def _is_id(word: str) -> bool:
    return is_id(word, "build") or is_id(word, "deployment")


def _marked(severity: str) -> str:
    return screen.styled(severity, "red") if severity in _BAD else severity


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
        vulnerabilities=Vulnerabilities(
            State.NOT_SCANNED if inventory.packages or inventory.unlocked or inventory.unread else State.NOTHING,
            why=OFFLINE,
        ),
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
