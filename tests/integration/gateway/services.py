"""The other services as the gateway meets them: real gRPC servers with the simplest true behaviour behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from libs.kernel.clock import Clock
from libs.kernel.context import Actor
from libs.kernel.errors import NotFound
from libs.protogen.lightrail.auth.v1 import auth_pb2_grpc
from libs.protogen.lightrail.build.v1 import build_pb2_grpc, upkeep_pb2_grpc
from libs.protogen.lightrail.common.v1 import facts_pb2, facts_pb2_grpc
from libs.protogen.lightrail.deploy.v1 import deploy_pb2_grpc
from libs.protogen.lightrail.metering.v1 import metering_pb2, metering_pb2_grpc
from libs.protogen.lightrail.project.v1 import project_pb2_grpc, source_pb2_grpc
from libs.rpc import Server
from tests.integration.gateway.accounts import Auth
from tests.integration.gateway.projects import Projects, Sources
from tests.integration.gateway.rollouts import Build, Deploy, Upkeep
from tests.integration.gateway.world import (
    World,
    seen,
)


class Metering(metering_pb2_grpc.MeteringServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def QueryUsage(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "QueryUsage")
        if request.project_id and request.project_id not in self.world.projects:
            ctx.allow("", what=f"Project {request.project_id}")
        answer = metering_pb2.QueryUsageResponse(total_micro_usd=1234)
        for service in self.world.services.values():
            answer.services.add(service_id=service.id, project_id=service.project_id, cpu_microseconds=90_000_000)
        answer.start.FromDatetime(self.world.now() - timedelta(days=1))
        answer.end.FromDatetime(self.world.now())
        return answer


class Facts(facts_pb2_grpc.FactsServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def ReadFacts(self, request: Any, context: Any) -> Any:
        seen(self.world, "ReadFacts")
        rows = [fact for fact in self.world.facts if fact.correlation_id == request.correlation_id]
        return facts_pb2.ReadFactsResponse(facts=rows, head=len(self.world.facts))

    async def ListDeadLetters(self, request: Any, context: Any) -> Any:
        seen(self.world, "ListDeadLetters")
        return facts_pb2.ListDeadLettersResponse(dead_letters=self.world.letters.values())

    async def ReplayDeadLetter(self, request: Any, context: Any) -> Any:
        seen(self.world, "ReplayDeadLetter")
        if self.world.letters.pop(request.fact_id, None) is None:
            raise NotFound(f"There is no dead letter {request.fact_id} here.", field="fact_id")
        return facts_pb2.ReplayDeadLetterResponse()


def servicers(world: World) -> list[tuple[Callable[[Any, Any], None], object]]:
    projects = Projects(world)
    return [
        (auth_pb2_grpc.add_AuthServiceServicer_to_server, Auth(world)),
        (project_pb2_grpc.add_ProjectServiceServicer_to_server, projects),
        (source_pb2_grpc.add_SourceServiceServicer_to_server, Sources(world, projects)),
        (build_pb2_grpc.add_BuildServiceServicer_to_server, Build(world)),
        (upkeep_pb2_grpc.add_BuildUpkeepServiceServicer_to_server, Upkeep(world)),
        (deploy_pb2_grpc.add_DeploymentServiceServicer_to_server, Deploy(world)),
        (metering_pb2_grpc.add_MeteringServiceServicer_to_server, Metering(world)),
        (facts_pb2_grpc.add_FactsServiceServicer_to_server, Facts(world)),
    ]


async def serve(world: World, clock: Clock) -> Server:
    """All of them behind one address, as services of one process would be behind several."""

    async def exchange(credential: str, method: str) -> Actor:
        raise AssertionError(f"the gateway sends identities, never credentials: {credential[:3]} for {method}")

    server = Server("127.0.0.1:0", servicers(world), identity=world.identity, exchange=exchange, clock=clock)
    await server.start()
    return server


def addresses(port: int) -> Mapping[str, str]:
    names = ("AUTH", "PROJECT", "BUILD", "DEPLOY", "ROUTER", "METERING")
    return {f"LIGHTRAIL_{name}_ADDRESS": f"127.0.0.1:{port}" for name in names}
