"""What project knows, asked over gRPC."""

from __future__ import annotations

from collections.abc import Sequence

from libs.kernel.context import Ctx, platform
from libs.kernel.secret import Secret
from libs.plans.plan import PlanSettings
from libs.protogen.lightrail.project.v1 import project_pb2, project_pb2_grpc, source_pb2, source_pb2_grpc
from libs.rpc import Peer
from libs.scan.severity import Policy, policy_of
from services.build.app.fetching import SourceSecrets
from services.build.app.ports import ServiceRef, Variables
from services.build.app.pushes import Place
from services.build.domain.model import Build


class PeerProjects:
    """Calls project's gRPC server: uploads as the caller, builds as the platform."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = project_pb2_grpc.ProjectServiceStub(peer.channel)
        self._sources = source_pb2_grpc.SourceServiceStub(peer.channel)

    async def service(self, ctx: Ctx, service_id: str) -> ServiceRef:
        """The service as the caller sees it; NotFound when it is not the caller's."""
        request = project_pb2.GetServiceRequest(service_id=service_id)
        answer = await self._peer.call(self._stub.GetService, request, ctx)
        return ServiceRef(answer.service.id, answer.service.workspace_id, answer.service.project_id)

    async def settings(self, build: Build) -> PlanSettings:
        """The service's settings that concern builds."""
        request = project_pb2.GetServiceRequest(service_id=build.service_id, environment_id=build.environment_id)
        answer = await self._peer.call(self._stub.GetService, request, platform("build"))
        settings = answer.service.settings
        return PlanSettings(
            start_command=settings.start_command,
            build_command=settings.build_command,
            test_command=settings.test_command,
            builder=settings.builder,
            root_directory=settings.root_directory,
            kind=settings.kind,
        )

    async def place(self, ctx: Ctx, service_id: str, environment_id: str) -> Place:
        """The service as the caller sees it; NotFound when it is not the caller's."""
        request = project_pb2.GetServiceRequest(service_id=service_id, environment_id=environment_id)
        found = (await self._peer.call(self._stub.GetService, request, ctx)).service
        ctx.allow(found.workspace_id, found.project_id, found.environment_id, what=f"Service {service_id[:64]}")
        asked = source_pb2.GetSourceRequest(service_id=found.id, environment_id=found.environment_id)
        source = (await self._peer.call(self._sources.GetSource, asked, ctx)).source
        return Place(found.workspace_id, found.id, found.environment_id, source.branch)

    async def secrets(self, build: Build) -> SourceSecrets:
        """What opens the repository of the build's service."""
        request = source_pb2.OpenSourceRequest(service_id=build.service_id, environment_id=build.environment_id)
        answer = await self._peer.call(self._sources.OpenSource, request, platform("build"))
        return SourceSecrets(
            url=answer.source.git_url,
            username=answer.source.username,
            password=Secret(answer.password) if answer.password else None,
            private_key=Secret(answer.private_key) if answer.private_key else None,
            known_hosts=tuple(answer.known_hosts),
            watch_paths=tuple(answer.source.watch_paths),
        )

    async def keep_host_keys(self, build: Build, lines: Sequence[str]) -> None:
        """Remembers keys of hosts seen for the first time."""
        request = source_pb2.KeepHostKeysRequest(service_id=build.service_id, known_hosts=lines)
        await self._peer.call(self._sources.KeepHostKeys, request, platform("build"))

    async def scan_policy(self, build: Build) -> Policy:
        """What the project wants done about findings of a scan."""
        request = project_pb2.GetProjectRequest(project_id=build.project_id)
        answer = await self._peer.call(self._stub.GetProject, request, platform("build"))
        return policy_of(answer.project.scan_policy, answer.project.scan_severity)

    async def variables(self, build: Build) -> Variables:
        """The rendered variables, sealed ones included."""
        request = project_pb2.RenderVariablesRequest(
            service_id=build.service_id, environment_id=build.environment_id, deployment_id=build.deployment_id
        )
        answer = await self._peer.call(self._stub.RenderVariables, request, platform("build"))
        values = dict(answer.values)
        secrets = frozenset(values[name] for name in answer.secret_names if values.get(name))
        return Variables(values, secrets)
