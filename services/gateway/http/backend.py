"""Typed stubs of every service the gateway asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from libs.protogen.lightrail.auth.v1 import auth_pb2_grpc
from libs.protogen.lightrail.build.v1 import build_pb2_grpc, git_pb2_grpc, upkeep_pb2_grpc
from libs.protogen.lightrail.deploy.v1 import deploy_pb2_grpc
from libs.protogen.lightrail.metering.v1 import metering_pb2_grpc
from libs.protogen.lightrail.project.v1 import project_pb2_grpc, source_pb2_grpc
from libs.rpc import Peer

StubT = TypeVar("StubT")


@dataclass(frozen=True, slots=True)
class Service(Generic[StubT]):
    """A connection and the stub on it."""

    peer: Peer
    stub: StubT


class Backend:
    """The services behind the gateway."""

    def __init__(self, peer: Callable[[str], Peer]) -> None:
        auth, project, build, deploy, metering = map(peer, ("auth", "project", "build", "deploy", "metering"))
        self.auth = Service(auth, auth_pb2_grpc.AuthServiceStub(auth.channel))
        self.project = Service(project, project_pb2_grpc.ProjectServiceStub(project.channel))
        self.sources = Service(project, source_pb2_grpc.SourceServiceStub(project.channel))
        self.build = Service(build, build_pb2_grpc.BuildServiceStub(build.channel))
        self.upkeep = Service(build, upkeep_pb2_grpc.BuildUpkeepServiceStub(build.channel))
        self.git = Service(build, git_pb2_grpc.GitServiceStub(build.channel))
        self.deploy = Service(deploy, deploy_pb2_grpc.DeploymentServiceStub(deploy.channel))
        self.metering = Service(metering, metering_pb2_grpc.MeteringServiceStub(metering.channel))
