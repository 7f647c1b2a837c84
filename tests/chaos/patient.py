"""The application that lives on a platform while its parts are killed, and what must be true of it afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from libs.testing.eventually import eventually
from tests.e2e import processes
from tests.e2e.application import Application
from tests.e2e.load import load
from tests.e2e.platform import Json

# In the order in which a deployment passes through them.
ORDER = ["queued", "waiting", "initializing", "building", "deploying", "active", "removing", "removed"]
FINAL = {"active", "failed", "crashed", "skipped", "removed"}
RECOVERY_SECONDS = 120
# Long enough to be caught in that state.
BUILD_SECONDS, START_SECONDS, DRAIN_SECONDS = 1.5, 1.5, 2
CORE = ("postgres", "nats", "envoy")


@dataclass
class Patient:
    """An application under observation."""

    app: Application
    versions: int = 0

    async def is_well(self) -> None:
        """Makes it live the first time; afterwards checks that the test before left it so."""
        if not self.app.service:
            await self.app.create()
            await self.app.settings(build_command=f"sleep {BUILD_SECONDS}", drain_seconds=DRAIN_SECONDS)
            await self.app.lr("variables", "set", "--skip-deploys", f"START_SECONDS={START_SECONDS}")
            await self.app.up()
        await self.settles()

    async def live(self) -> Json:
        """Gives the deployment that serves."""
        serving = next(row for row in await self.app.deployments() if row["state"] == "active")
        return await self.app.deployment(serving["id"])

    async def deploy(self) -> str:
        """Asks for a new version of the same source and gives its id, at once."""
        live = await self.live()
        values = {"values": {"BUILD_NUMBER": str(self.versions)}, "skip_deploys": True}
        # A build of the same with the same variables would be over before anything could be killed.
        await self.app.platform.api("PATCH", f"/services/{self.app.id}/variables", json=values)
        made = await self.app.platform.api(
            "POST",
            "/deployments",
            json={"service_id": self.app.id, "snapshot_id": live["snapshot_id"], "env_vars": self.next_version()},
        )
        return str(made["id"])

    def next_version(self) -> dict[str, str]:
        """Tells one version from the next by what it greets with."""
        self.versions += 1
        return {"GREETING": f"version {self.versions}"}

    async def reaches(self, state: str, deployment_id: str) -> str:
        """Waits until a deployment is in a state, or was too quick for us and is beyond it; gives what was seen."""
        least = ORDER.index(state)

        async def there() -> str:
            now = str((await self.app.deployment(deployment_id))["state"])
            assert now in ORDER, f"{deployment_id} is {now}"
            assert ORDER.index(now) >= least, f"{deployment_id} is still {now}"
            return now

        return await eventually(there, within=60, every=0.005)

    async def settles(self) -> None:
        """Waits until nothing is on its way any more, and checks everything that must then be true."""

        async def settled() -> list[Json]:
            rows = await self.app.deployments()
            moving = [(row["id"], row["state"]) for row in rows if row["state"] not in FINAL]
            assert not moving, f"stuck: {moving}"
            return rows

        rows = await eventually(settled, within=RECOVERY_SECONDS, every=0.2)
        states = Counter(row["state"] for row in rows)
        assert states["active"] == 1, f"exactly one version serves, not {states}"
        assert states["failed"] == 0, [row["reason"] for row in rows if row["state"] == "failed"]
        await eventually(self._one_instance, within=20, every=0.2)
        await self.nothing_is_doubled([row["id"] for row in rows[:2]])

    async def _one_instance(self) -> None:
        """An instance that has just been replaced is noted as ended a moment after it did."""
        live = await self.live()
        running = self.app.processes()
        assert running == self.app.processes(live["id"]), "only the live version has processes"
        assert len(main_processes(running)) == 1, f"one instance, not {running}"
        assert len([row for row in live["instances"] if row["state"] != "exited"]) == 1, live["instances"]

    async def nothing_is_doubled(self, deployment_ids: Iterable[str]) -> None:
        """Checks that each thing was told once, and that no state was entered twice."""
        for deployment_id in deployment_ids:
            timeline = (await self.app.platform.lr("platform", "trace", deployment_id, "--json")).json()
            ids = Counter(event["id"] for event in timeline["events"])
            types = Counter(event["type"] for event in timeline["events"] if ".deployment." in event["type"])
            assert [event for event, times in ids.items() if times > 1] == []
            assert [kind for kind, times in types.items() if times > 1] == [], f"{deployment_id} was told twice"

    async def parts_are_well(self) -> None:
        """Waits until every part of the platform runs again, and nothing was given up."""

        async def well() -> None:
            run = await self.app.platform.lr("platform", "status", "--json", check=False)
            assert run.code == 0, run.text
            states = {part["name"]: part["state"] for part in run.json()["parts"]}
            assert set(states.values()) == {"running"}, states

        await eventually(well, within=RECOVERY_SECONDS, every=0.5)
        letters = await eventually(self._dead_letters, within=20, every=0.5)
        assert letters == []

    async def _nobody_stands_in(self) -> None:
        assert "standby" not in await self.app.platform.parts()

    async def _dead_letters(self) -> list[Json]:
        run = await self.app.platform.lr("platform", "deadletters", "list", "--json", check=False)
        assert run.code == 0, run.text
        answer = run.json()
        return list(answer["items"] if isinstance(answer, dict) else answer)

    async def serves_again(self) -> None:
        """Waits until visitors are answered."""

        async def served() -> None:
            assert (await self.app.get()).status_code == 200

        await eventually(served, within=RECOVERY_SECONDS, every=0.1)

    async def has_logged(self, deployment_id: str, lines: list[str]) -> None:
        """Waits until exactly these lines of a deployment are in the log."""

        async def logged() -> None:
            run = await self.app.lr("logs", deployment_id, "--json")
            assert [row["text"] for row in run.lines() if row["stream"] == "output"] == lines

        await eventually(logged, within=20, every=0.5)

    async def kill(self, *names: str) -> None:
        """Ends parts of the platform at once."""
        parts = await self.app.platform.parts()
        for name in names:
            processes.kill(parts[name]["pid"])

    @asynccontextmanager
    async def without_services(self, target: str) -> AsyncIterator[None]:
        """Ends the process of these services, and each that is started in its place while the block runs."""
        arguments = (f"lightrail={self.app.platform.home}", f"--target={target}")
        dead, over = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def keep_away() -> None:
            while not over.is_set():
                for pid in processes.started_with(*arguments):
                    processes.kill_if_alive(pid)
                    loop.call_soon_threadsafe(dead.set)
                over.wait(0.02)

        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(keep_away))
            try:
                async with asyncio.timeout(10):
                    await dead.wait()
                yield
            finally:
                over.set()

    @asynccontextmanager
    async def edge_booted_from_disk(self, target: str) -> AsyncIterator[None]:
        """Ends these services, the router among them, keeps them away, and ends the edge: visitors must be served.

        The block runs when the services are back; from the new edge's first answer on, no visitor may notice anything.
        """
        app, before = self.app, self.app.processes()
        async with AsyncExitStack() as visits:
            async with self.without_services(target):
                await self.kill("envoy")
                await self.serves_again()
                counts = await visits.enter_async_context(load(app.platform.port, app.host, per_second=20))
                assert (await app.platform.parts())["router"]["state"] != "running"
                assert app.processes() == before
            await self.parts_are_well()
            await eventually(self._nobody_stands_in, within=10)
            yield
            await self.settles()
        assert counts.failed == 0, counts.failures

    async def pid(self, name: str) -> int:
        """Gives the pid of a part, once it runs."""

        async def running() -> int:
            part = (await self.app.platform.parts())[name]
            assert part["state"] == "running", part
            return int(part["pid"])

        return await eventually(running, within=RECOVERY_SECONDS, every=0.2)

    async def services_pid(self) -> int:
        """Gives the pid of the process that holds all services."""
        parts = await self.app.platform.parts()
        pids = {part["pid"] for name, part in parts.items() if name not in {*CORE, "supervisor"}}
        assert len(pids) == 1, parts
        return int(pids.pop())


def main_processes(running: set[tuple[int, int]]) -> set[int]:
    """Leaves out what those processes started themselves: one is left for each instance."""
    pids = {pid for pid, _ in running}
    return {pid for pid in pids if not any(pid in processes.descendants(other) - {other} for other in pids)}
