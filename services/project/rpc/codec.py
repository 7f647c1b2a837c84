"""Messages of the project API to and from what the domain knows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from libs.kernel.units import Bytes, Millicores
from libs.protogen.lightrail.common.v1 import common_pb2
from libs.protogen.lightrail.project.v1 import project_pb2
from services.project.app.projects import FullProject
from services.project.app.variables import Listed
from services.project.domain.model import Environment, Setup
from services.project.domain.settings import NAMES, Resources, Settings

_PLAIN: Final = tuple(name for name in NAMES if name != "resources")


def settings_from(message: project_pb2.Settings) -> Settings:
    """Returns the settings that are set in a message."""
    given: dict[str, Any] = {field.name: value for field, value in message.ListFields()}
    if "resources" in given:
        asked = message.resources
        given["resources"] = Resources(
            cpu_request=Millicores(asked.cpu_request_millicores),
            memory_request=Bytes(asked.memory_request_bytes),
            cpu_limit=Millicores(asked.cpu_limit_millicores),
            memory_limit=Bytes(asked.memory_limit_bytes),
        )
    return Settings(**given)


def settings_to(settings: Settings) -> project_pb2.Settings:
    """Returns the message; what is unset stays unset."""
    message = project_pb2.Settings()
    for name in _PLAIN:
        value = getattr(settings, name)
        if value is not None:
            setattr(message, name, value)
    if settings.resources is not None:
        message.resources.CopyFrom(
            common_pb2.Resources(
                cpu_request_millicores=settings.resources.cpu_request,
                memory_request_bytes=settings.resources.memory_request,
                cpu_limit_millicores=settings.resources.cpu_limit,
                memory_limit_bytes=settings.resources.memory_limit,
            )
        )
    return message


def project_to(full: FullProject) -> project_pb2.Project:
    """Returns the message of a project with its environments."""
    return project_pb2.Project(
        id=full.project.id,
        workspace_id=full.project.workspace_id,
        name=full.project.name,
        created_at=_time(full.project.created_at),
        environments=[environment_to(environment) for environment in full.environments],
        scan_policy=full.project.scan.action.value,
        scan_severity=full.project.scan.severity.value,
    )


def environment_to(environment: Environment) -> project_pb2.Environment:
    """Returns the message of an environment."""
    return project_pb2.Environment(
        id=environment.id,
        project_id=environment.project_id,
        workspace_id=environment.workspace_id,
        name=environment.name,
        created_at=_time(environment.created_at),
    )


def service_to(setup: Setup) -> project_pb2.Service:
    """Returns the message of a service as it is set up in one environment."""
    return project_pb2.Service(
        id=setup.service.id,
        project_id=setup.service.project_id,
        workspace_id=setup.service.workspace_id,
        name=setup.service.name,
        created_at=_time(setup.service.created_at),
        environment_id=setup.environment.id,
        environment_name=setup.environment.name,
        project_name=setup.project_name,
        settings=settings_to(setup.settings),
        public_domain=setup.public_domain,
    )


def variable_to(listed: Listed) -> project_pb2.Variable:
    """Returns the message of a variable; the value of a sealed one is not in it."""
    return project_pb2.Variable(
        name=listed.name, value=listed.value.reveal(), sealed=listed.sealed, provided=listed.provided
    )


def _time(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
