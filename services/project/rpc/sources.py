"""SourceService: one use case behind each method."""

from __future__ import annotations

from typing import Any, Final

from libs.kernel.secret import Secret
from libs.protogen.lightrail.project.v1 import source_pb2 as pb
from libs.protogen.lightrail.project.v1 import source_pb2_grpc
from libs.rpc import current
from services.project.app.sources import Seen, SourceUseCases
from services.project.domain.source import Source

# Adds the servicer to a server.
ADD: Final = source_pb2_grpc.add_SourceServiceServicer_to_server
Context = Any


class SourceServicer(source_pb2_grpc.SourceServiceServicer):
    """Serves sources and their keys."""

    def __init__(self, sources: SourceUseCases) -> None:
        self._sources = sources

    async def GetSource(self, request: pb.GetSourceRequest, context: Context) -> pb.GetSourceResponse:
        """What is set."""
        seen = await self._sources.get(current(), request.service_id, request.environment_id)
        return pb.GetSourceResponse(source=_message(seen))

    async def SetSource(self, request: pb.SetSourceRequest, context: Context) -> pb.SetSourceResponse:
        """Sets it."""
        given = request.source
        source = Source(
            given.git_url,
            given.branch,
            tuple(given.watch_paths),
            given.image,
            given.username,
            Secret(request.password) if request.password else None,
        )
        seen = await self._sources.set(current(), request.service_id, request.environment_id, source)
        return pb.SetSourceResponse(source=_message(seen))

    async def ClearSource(self, request: pb.ClearSourceRequest, context: Context) -> pb.ClearSourceResponse:
        """Forgets it."""
        await self._sources.clear(current(), request.service_id, request.environment_id)
        return pb.ClearSourceResponse()

    async def CreateDeployKey(self, request: pb.CreateDeployKeyRequest, context: Context) -> pb.CreateDeployKeyResponse:
        """Makes the service's key when it has none."""
        public = await self._sources.create_key(current(), request.service_id, renew=request.renew)
        return pb.CreateDeployKeyResponse(deploy_key=public)

    async def DeleteDeployKey(self, request: pb.DeleteDeployKeyRequest, context: Context) -> pb.DeleteDeployKeyResponse:
        """Forgets the key."""
        await self._sources.delete_key(current(), request.service_id)
        return pb.DeleteDeployKeyResponse()

    async def ForgetHostKeys(self, request: pb.ForgetHostKeysRequest, context: Context) -> pb.ForgetHostKeysResponse:
        """Forgets what hosts showed."""
        await self._sources.forget_host_keys(current(), request.service_id)
        return pb.ForgetHostKeysResponse()

    async def OpenSource(self, request: pb.OpenSourceRequest, context: Context) -> pb.OpenSourceResponse:
        """The source with its secrets."""
        opened = await self._sources.open(current(), request.service_id, request.environment_id)
        password = opened.seen.source.password
        return pb.OpenSourceResponse(
            source=_message(opened.seen),
            password=password.reveal() if password else "",
            private_key=opened.private_key.reveal() if opened.private_key else "",
            known_hosts=[key.line for key in opened.seen.host_keys],
        )

    async def KeepHostKeys(self, request: pb.KeepHostKeysRequest, context: Context) -> pb.KeepHostKeysResponse:
        """Remembers what hosts showed first."""
        await self._sources.keep_host_keys(current(), request.service_id, list(request.known_hosts))
        return pb.KeepHostKeysResponse()


def _message(seen: Seen) -> pb.Source:
    source = seen.source
    return pb.Source(
        git_url=source.git_url,
        branch=source.branch,
        watch_paths=source.watch_paths,
        image=source.image,
        username=source.username,
        has_password=source.password is not None,
        deploy_key=seen.deploy_key,
        host_keys=[pb.HostKey(host=key.host, kind=key.kind, fingerprint=key.fingerprint) for key in seen.host_keys],
    )
