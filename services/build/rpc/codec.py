"""Build's things as protobuf."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from libs.protogen.lightrail.build.v1 import build_pb2
from libs.scan.report import Report
from services.build.domain.model import Artifact, Build, BuildState, Image, LogLine, Snapshot
from services.build.domain.stages import StageState

STATES: Final = {
    BuildState.QUEUED: build_pb2.BUILD_STATE_QUEUED,
    BuildState.RUNNING: build_pb2.BUILD_STATE_RUNNING,
    BuildState.SUCCEEDED: build_pb2.BUILD_STATE_SUCCEEDED,
    BuildState.FAILED: build_pb2.BUILD_STATE_FAILED,
    BuildState.CANCELLED: build_pb2.BUILD_STATE_CANCELLED,
}
STAGE_STATES: Final = {
    StageState.PENDING: build_pb2.STAGE_STATE_PENDING,
    StageState.RUNNING: build_pb2.STAGE_STATE_RUNNING,
    StageState.SUCCEEDED: build_pb2.STAGE_STATE_SUCCEEDED,
    StageState.FAILED: build_pb2.STAGE_STATE_FAILED,
    StageState.SKIPPED: build_pb2.STAGE_STATE_SKIPPED,
}


def snapshot_message(snapshot: Snapshot) -> build_pb2.Snapshot:
    """A snapshot on the wire."""
    return build_pb2.Snapshot(
        id=snapshot.id,
        workspace_id=snapshot.workspace_id,
        service_id=snapshot.service_id,
        digest=snapshot.digest,
        size_bytes=snapshot.size_bytes,
        created_at=time_message(snapshot.created_at),
    )


def build_message(build: Build) -> build_pb2.Build:
    """A build on the wire."""
    return build_pb2.Build(
        id=build.id,
        workspace_id=build.workspace_id,
        service_id=build.service_id,
        environment_id=build.environment_id,
        deployment_id=build.deployment_id,
        snapshot_id=build.snapshot_id,
        state=STATES[build.state],
        reason=build.reason,
        provider=build.provider,
        waiting=build.waiting,
        artifact_digest=build.artifact_digest,
        created_at=time_message(build.created_at),
        started_at=time_message(build.started_at),
        finished_at=time_message(build.finished_at),
        stages=[
            build_pb2.Stage(
                name=stage.name.value,
                state=STAGE_STATES[stage.state],
                started_at=time_message(stage.started_at),
                finished_at=time_message(stage.finished_at),
                detail=stage.detail,
            )
            for stage in build.progress
        ],
    )


def line_message(line: LogLine) -> build_pb2.LogLine:
    """A line of the log on the wire."""
    return build_pb2.LogLine(
        number=line.number, time=time_message(line.time), step=line.step, stream=line.stream, text=line.text
    )


def scan_message(report: Report) -> build_pb2.Scan:
    """What a scan found on the wire; it holds no secret."""
    bill, secrets, known = report.sbom, report.secrets, report.vulnerabilities
    return build_pb2.Scan(
        policy=report.policy.action.value,
        severity=report.policy.severity.value,
        policy_from=report.policy_from,
        sbom=build_pb2.ScanPart(state=bill.state.value, why=bill.why, by=bill.by, notes=bill.notes),
        sbom_digest=bill.digest,
        packages=bill.packages,
        secrets=build_pb2.ScanPart(state=secrets.state.value, why=secrets.why, more=secrets.more, notes=secrets.notes),
        files=secrets.files,
        ignored=secrets.ignored,
        secret_findings=[
            build_pb2.SecretFinding(
                path=one.path, line=one.line, rule=one.rule, title=one.title, severity=one.severity.value
            )
            for one in secrets.findings
        ],
        vulnerabilities=build_pb2.ScanPart(state=known.state.value, why=known.why, by=known.by, more=known.more),
        database=known.database,
        vulnerability_findings=[build_pb2.Vulnerability(**one.document()) for one in known.findings],
        summary=report.summary,
        blocked=report.blocked,
    )


def artifact_message(artifact: Artifact) -> build_pb2.Artifact:
    """An artifact on the wire."""
    return build_pb2.Artifact(
        digest=artifact.digest,
        layers=[
            build_pb2.Layer(digest=one.digest, mount=one.mount, writable=one.writable, size_bytes=one.size_bytes)
            for one in artifact.layers
        ],
        start_command=artifact.start_command,
        environment=artifact.environment,
        working_directory=artifact.working_directory,
        kind=artifact.kind,
        host_paths=artifact.host_paths,
        provider=artifact.provider,
        image=_image(artifact.image),
    )


def _image(image: Image | None) -> build_pb2.Image | None:
    if image is None:
        return None
    return build_pb2.Image(reference=image.reference, digest=image.digest, size_bytes=image.size_bytes)


def time_message(moment: datetime | None) -> Timestamp | None:
    """A time on the wire; none stays none."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
