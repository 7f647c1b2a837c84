"""The project service, as deploy needs it."""

from __future__ import annotations

from libs.kernel.context import Ctx
from libs.kernel.errors import NotFound
from libs.protogen.lightrail.project.v1 import project_pb2, project_pb2_grpc, source_pb2, source_pb2_grpc
from libs.rpc import Peer
from services.deploy.app.ports import Service, Source, Variables
from services.deploy.domain.model import Resources, Settings


class GrpcProjects:
    """Asks project over gRPC."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = project_pb2_grpc.ProjectServiceStub(peer.channel)
        self._sources = source_pb2_grpc.SourceServiceStub(peer.channel)

    async def service(self, ctx: Ctx, *, service_id: str = "", environment_id: str = "", name: str = "") -> Service:
        """A service by id, or by name in an environment; NotFound when it is not the caller's."""
        request = project_pb2.GetServiceRequest(service_id=service_id, environment_id=environment_id, name=name)
        wire = (await self._peer.call(self._stub.GetService, request, ctx)).service
        return Service(
            id=wire.id,
            name=wire.name,
            workspace_id=wire.workspace_id,
            project_id=wire.project_id,
            environment_id=wire.environment_id,
            environment_name=wire.environment_name,
            settings=_settings(wire.settings),
        )

    async def allow(self, ctx: Ctx, *, service_id: str, environment_id: str, project_id: str) -> None:
        """Passes when every id given is of something the caller may see, and they belong together; NotFound else."""
        if service_id:
            found = await self.service(ctx, service_id=service_id, environment_id=environment_id)
            if project_id not in ("", found.project_id):
                raise NotFound(f"Project {project_id[:64]} does not exist, or has no such service.")
        elif environment_id:
            wanted = project_pb2.ListServicesRequest(project_id=project_id, environment_id=environment_id)
            await self._peer.call(self._stub.ListServices, wanted, ctx)
        elif project_id:
            await self._peer.call(self._stub.GetProject, project_pb2.GetProjectRequest(project_id=project_id), ctx)

    async def source(self, ctx: Ctx, service_id: str, environment_id: str) -> Source:
        """What is set as a service's source in an environment."""
        request = source_pb2.GetSourceRequest(service_id=service_id, environment_id=environment_id)
        wire = (await self._peer.call(self._sources.GetSource, request, ctx)).source
        return Source(wire.git_url, wire.branch, wire.image)

    async def render(self, ctx: Ctx, service_id: str, environment_id: str, deployment_id: str) -> Variables:
        """Everything an instance gets. Invalid for an unknown reference or a cycle."""
        request = project_pb2.RenderVariablesRequest(
            service_id=service_id, environment_id=environment_id, deployment_id=deployment_id
        )
        wire = await self._peer.call(self._stub.RenderVariables, request, ctx)
        return Variables(dict(wire.values), wire.version, tuple(wire.secret_names))


def _settings(wire: project_pb2.Settings) -> Settings:
    """Settings with deploy's defaults where they are unset."""
    default = Settings()
    return Settings(
        replicas=wire.replicas if wire.HasField("replicas") else default.replicas,
        health_path=wire.health_path if wire.HasField("health_path") else default.health_path,
        health_timeout=wire.health_timeout if wire.HasField("health_timeout") else default.health_timeout,
        restart_policy=wire.restart_policy if wire.HasField("restart_policy") else default.restart_policy,
        restart_max_retries=(
            wire.restart_max_retries if wire.HasField("restart_max_retries") else default.restart_max_retries
        ),
        drain_seconds=wire.drain_seconds if wire.HasField("drain_seconds") else default.drain_seconds,
        kind=wire.kind if wire.HasField("kind") else default.kind,
        start_command=wire.start_command,
        resources=Resources(
            wire.resources.cpu_request_millicores,
            wire.resources.memory_request_bytes,
            wire.resources.cpu_limit_millicores,
            wire.resources.memory_limit_bytes,
        ),
    )
