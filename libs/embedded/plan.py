"""What one platform consists of: its parts, their order, and the environment its services get."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from libs.embedded import database, doors, files, ports, probe
from libs.embedded.envoy import Edge
from libs.embedded.home import Home
from libs.embedded.nats import Server
from libs.embedded.part import Spec
from libs.embedded.postgres import Cluster
from libs.embedded.settings import SERVICES, Settings
from libs.kernel.secret import Secret

ROOT: Final = Path(__file__).resolve().parents[2]
RUNTIME: Final = (sys.executable, "-m", "libs.runtime")
# What belongs to `lr` or to the supervisor alone. The superuser's URL above all is not for services.
_WITHHELD: Final = {"LIGHTRAIL_DATABASE_URL", "LIGHTRAIL_TOKEN", "LIGHTRAIL_API", "LIGHTRAIL_CONFIG_DIR"}
# The service that edges ask, and what its standby has no use for.
_ROUTER: Final = "router"
_NOT_FOR_STANDBY: Final = {"LIGHTRAIL_NATS_URL", "LIGHTRAIL_METRICS_ADDRESS"}
# Changes when provisioning makes something it did not make before.
_PROVISION_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Node:
    """A part in its place."""

    name: str
    spec: Callable[[], Spec]
    # Parts that must be ready before it starts the first time.
    needs: tuple[str, ...] = ()
    # Makes what the part needs, before each start; blocking.
    prepare: Callable[[], None] = lambda: None
    # Parts of a lower number are stopped first.
    stops: int = 0
    # Services in this process.
    services: tuple[str, ...] = ()
    # Names of the ports it listens on, of those that the platform may change.
    ports: tuple[str, ...] = ()
    # Whether it is a task that ends by itself; `done` then says it need not run, `finished` is told when it has.
    once: bool = False
    done: Callable[[], bool] = lambda: False
    finished: Callable[[], None] = lambda: None
    # Whether the next supervisor may take over its running process.
    adoptable: bool = False
    # Whether it is started anew when it runs but stops answering.
    cured: bool = False
    # The part that it stands in for: it runs only while that one is away and `wanted` says so (blocking, a second at
    # most), and ends by itself when that one is back.
    stands_in_for: str = ""
    wanted: Callable[[], bool] = lambda: True


class Plan:
    """The parts of one platform on these ports."""

    def __init__(
        self,
        settings: Settings,
        chosen: Mapping[str, int],
        environ: Mapping[str, str],
        *,
        program: tuple[str, ...] = RUNTIME,
    ) -> None:
        self._settings = settings
        self._home = Home(settings.home)
        self._ports = chosen
        self._environ = environ
        self._program = program
        self._doors = doors.choose(self._home.envoy / "doors", self._home.state / "doors", environ)
        self._cluster = Cluster(
            room=self._home.postgres,
            port=chosen["postgres"],
            password_file=self._home.keys / "postgres.password",
            log=self._home.log("postgres"),
        )
        self._server = Server(
            room=self._home.nats,
            port=chosen["nats"],
            password_file=self._home.keys / "nats.password",
            log=self._home.log("nats"),
        )

    @staticmethod
    def ports(settings: Settings) -> list[str]:
        """The names of the ports it takes, besides the edge's."""
        # An Envoy of someone else's cannot reach a socket in the platform's directory.
        ads = ["ads"] if settings.envoy_external else []
        names = ["postgres", "nats", *ads, "gateway-http", *SERVICES]
        return names + [f"metrics-{target}" for target, _ in _targets(settings)]

    def external(self) -> list[str]:
        """Parts that someone else runs."""
        theirs = {
            "postgres": self._settings.database_url is not None,
            "nats": self._settings.nats_url is not None,
            "envoy": self._settings.envoy_external,
        }
        return [name for name, is_theirs in theirs.items() if is_theirs]

    def nodes(self) -> list[Node]:
        """The parts that the platform runs itself, each after those it needs."""
        external = self.external()
        nodes = []
        if "nats" not in external:
            server = self._server
            nodes.append(
                Node("nats", spec=server.spec, prepare=server.prepare, stops=2, adoptable=True, ports=("nats",))
            )
        if "envoy" not in external:
            edge = self._edge()
            nodes.append(Node("envoy", spec=edge.spec, prepare=edge.prepare, stops=1, adoptable=True))
        if "postgres" not in external:
            cluster = self._cluster
            nodes.append(
                Node(
                    "postgres",
                    spec=cluster.spec,
                    prepare=cluster.prepare,
                    stops=3,
                    adoptable=True,
                    ports=("postgres",),
                )
            )
        before_provision = ("postgres",) if "postgres" not in external else ()
        nodes.append(
            Node(
                "provision",
                spec=self._provision,
                needs=before_provision,
                once=True,
                done=self._is_provisioned,
                finished=self._remember_provisioned,
            )
        )
        before_services = ("provision", "nats") if "nats" not in external else ("provision",)
        targets = _targets(self._settings)
        nodes += [
            Node(
                name,
                spec=partial(self._service, name, names),
                needs=before_services,
                services=names,
                cured=True,
                ports=self._ports_of(name, names),
            )
            for name, names in targets
        ]
        if "envoy" not in external:
            nodes += [self._standby(name) for name, names in targets if _ROUTER in names]
        return nodes

    def is_reachable(self) -> bool:
        """Whether the REST API answers: through the edge, or at the gateway when the edge is someone else's."""
        if self._settings.envoy_external:
            return probe.http_status(ports.LOOPBACK, self._ports["gateway-http"], "/api/v1/health") == _OK
        return probe.http_status(self._settings.edge_address, self._settings.port, "/api/v1/health") == _OK

    def services_environment(self, target: str) -> dict[str, str]:
        """The whole environment of a process of services. Of databases it knows only those of its own services."""
        home, chosen, settings = self._home, self._ports, self._settings
        address = {name: f"{ports.LOOPBACK}:{port}" for name, port in chosen.items()}
        inherited = {
            name: value
            for name, value in self._environ.items()
            if name not in _WITHHELD and not (name.startswith("LIGHTRAIL_") and name.endswith("_DATABASE_URL"))
        }
        nats_url = settings.nats_url or self._server.url
        urls = database.service_urls(home, self._admin())
        mine = {
            "LIGHTRAIL_HOME": str(home.path),
            "LIGHTRAIL_TOPOLOGY": settings.topology,
            "LIGHTRAIL_PORT": str(settings.port),
            "LIGHTRAIL_EDGE_PORT": str(settings.port),
            "LIGHTRAIL_EDGE_ADDRESS": settings.edge_address,
            "LIGHTRAIL_BASE_DOMAIN": settings.base_domain,
            "LIGHTRAIL_NATS_URL": nats_url.reveal(),
            "LIGHTRAIL_IDENTITY_KEY_FILE": str(home.identity_key),
            "LIGHTRAIL_SECRETS_KEY_FILE": str(home.secrets_key),
            "LIGHTRAIL_PROVENANCE_PUBLIC_KEY_FILE": str(home.provenance_public_key),
            "LIGHTRAIL_SETUP_TOKEN_FILE": str(home.setup_token),
            "LIGHTRAIL_EDGE_TOKEN_FILE": str(home.edge_token),
            "LIGHTRAIL_ADS_ADDRESS": self._ads(),
            "LIGHTRAIL_ENVOY_ADMIN_ADDRESS": self._admin_address(),
            "LIGHTRAIL_GATEWAY_HTTP_ADDRESS": address["gateway-http"],
            "LIGHTRAIL_METRICS_ADDRESS": address[f"metrics-{target}"],
            # Threads of gRPC and of the loop share two heaps rather than having one each.
            "MALLOC_ARENA_MAX": "2",
            "PYTHONUNBUFFERED": "1",
            # Children of services are started by exec: gRPC need not be made ready for a fork, nor say that it was not.
            "GRPC_ENABLE_FORK_SUPPORT": "0",
        }
        for service in SERVICES:
            mine[f"LIGHTRAIL_{service.upper()}_ADDRESS"] = address[service]
        for service in dict(_targets(settings))[target]:
            mine[f"LIGHTRAIL_{service.upper()}_DATABASE_URL"] = urls[service].reveal()
        if "build" in dict(_targets(settings))[target]:
            # What signs what is built is known where it is built, and nowhere else.
            mine["LIGHTRAIL_PROVENANCE_KEY_FILE"] = str(home.provenance_key)
        return inherited | mine

    @staticmethod
    def _ports_of(target: str, services: tuple[str, ...]) -> tuple[str, ...]:
        """The names of the ports that a process of services listens on; `ads` is not the platform's to change."""
        gateway = ("gateway-http",) if "gateway" in services else ()
        return (f"metrics-{target}", *gateway, *services)

    def _edge(self) -> Edge:
        return Edge(
            room=self._home.envoy,
            node=f"edge-{self._settings.port}",
            ads_address=self._ads(),
            admin_address=self._admin_address(),
            edge_port=self._settings.port,
            log=self._home.log("envoy"),
            concurrency=self._settings.envoy_concurrency,
        )

    def _ads(self) -> str:
        if self._settings.envoy_external:
            return self._environ.get("LIGHTRAIL_ADS_ADDRESS") or f"{ports.LOOPBACK}:{self._ports['ads']}"
        return f"{doors.UNIX}{self._doors / doors.ADS}"

    def _admin_address(self) -> str:
        if self._settings.envoy_external:
            return self._environ.get("LIGHTRAIL_ENVOY_ADMIN_ADDRESS", "")
        return f"{doors.UNIX}{self._doors / doors.ADMIN}"

    def _admin(self) -> Secret[str]:
        return self._settings.database_url or self._cluster.dsn()

    def _service(self, name: str, services: tuple[str, ...]) -> Spec:
        target = "all" if services == SERVICES else name
        metrics = self._ports[f"metrics-{name}"]
        return Spec(
            name=name,
            argv=self._command(f"--target={target}"),
            env=self.services_environment(name),
            log=self._home.log(name),
            port=self._ports.get(name, metrics),
            ready=lambda: probe.http_status(ports.LOOPBACK, metrics, "/ready") == _OK,
            cwd=ROOT,
        )

    def _standby(self, router: str) -> Node:
        """Serves an edge that was started anew while the router, in this process, is away: from the router's file."""

        def spec() -> Spec:
            known = self.services_environment(router).items()
            return Spec(
                name="standby",
                argv=self._command(f"--standby={_ROUTER}"),
                env={name: value for name, value in known if name not in _NOT_FOR_STANDBY and "_DATABASE_" not in name},
                log=self._home.log("standby"),
                port=0,
                ready=lambda: True,
                cwd=ROOT,
            )

        def serves_nobody() -> bool:
            return not probe.listens(self._settings.edge_address, self._settings.port)

        return Node("standby", spec=spec, needs=("envoy",), once=True, stands_in_for=router, wanted=serves_nobody)

    def _command(self, what: str) -> tuple[str, ...]:
        # The mark means nothing to Python: by it a process is known as this platform's when no record is left.
        return (self._program[0], "-X", mark(self._home), *self._program[1:], what)

    def _provision(self) -> Spec:
        return Spec(
            name="provision",
            argv=(sys.executable, "-m", "libs.embedded.provision"),
            env={**self._environ, "LIGHTRAIL_DATABASE_URL": self._admin().reveal()},
            log=self._home.log("provision"),
            port=0,
            ready=lambda: False,
            cwd=ROOT,
        )

    @property
    def _mark(self) -> Path:
        # In PostgreSQL's own room: it goes when the data goes.
        return self._home.postgres / "provisioned"

    def _provisioned(self) -> str:
        known = self._home.database_passwords.read_text()
        return hashlib.sha256(json.dumps([_PROVISION_VERSION, known, SERVICES]).encode()).hexdigest()

    def _is_provisioned(self) -> bool:
        # Saves a third of a second at each start. Someone else's database may change behind our back: always run.
        home = self._home
        keys = (
            home.identity_key, home.secrets_key, home.provenance_key, home.provenance_public_key, home.setup_token,
            home.edge_token, home.database_passwords,
        )  # fmt: skip
        if self._settings.database_url or not all(key.exists() for key in keys):
            return False
        return self._mark.exists() and self._mark.read_text() == self._provisioned()

    def _remember_provisioned(self) -> None:
        if not self._settings.database_url:
            files.write_private(self._mark, self._provisioned())


_OK: Final = 200


def mark(home: Home) -> str:
    """Returns the argument by which processes of one platform's services are told from all others."""
    return f"lightrail={home.path}"


def _targets(settings: Settings) -> list[tuple[str, tuple[str, ...]]]:
    """Processes of services: name -> services in it."""
    if settings.topology == "all":
        return [("services", SERVICES)]
    return [(service, (service,)) for service in SERVICES]
