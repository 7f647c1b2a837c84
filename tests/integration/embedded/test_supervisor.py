from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pytest

from libs.embedded import exposure, ports, probe, processes
from libs.testing.eventually import eventually
from tests.integration.embedded.supervised import Supervised

Make = Callable[..., Supervised]
CORE = ("postgres", "nats", "envoy")
pytestmark = pytest.mark.wheels


def serves(platform: Supervised) -> None:
    assert probe.http_status(ports.LOOPBACK, platform.port, "/api/v1/health") == 200


async def test_it_starts_everything_is_reachable_and_stops_in_order(platform: Supervised) -> None:
    await platform.start()
    now = platform.status()
    assert now.is_well, now
    assert now.reachable_from_outside == []
    assert set(platform.parts()) >= {"supervisor", *CORE, "auth", "gateway"}
    serves(platform)
    pids = {part.pid for part in now.parts}
    application = platform.application()
    assert application

    assert await platform.stop() == 0
    assert not [pid for pid in pids if pid and processes.find(pid)], "something was left"
    assert application.alive, "an application ends when its owner says so, not with the platform"
    assert platform.status().phase == "stopped"
    events = [json.loads(line) for line in platform.said().splitlines()]
    stopped = [event["part"] for event in events if event["event"] == "part.stopped"]
    assert stopped == ["services", "envoy", "nats", "postgres"]


async def test_the_edges_admin_page_has_no_port_and_a_home_may_be_long(platforms: Make) -> None:
    for name in ("home", "h" * 100):
        platform = platforms(name)
        await platform.start()
        serves(platform)
        edge = platform.found("envoy")
        assert [port for _, port in exposure.listening([edge.pid])] == [platform.port]
        assert not {"ads", "envoy-admin"} & platform.chosen_ports().keys()
        await platform.stop()


async def test_split_runs_each_service_in_a_process_of_its_own(platforms: Make) -> None:
    platform = platforms(LIGHTRAIL_TOPOLOGY="split")
    await platform.start()
    pids = [part.pid for part in platform.parts().values()]
    assert len(pids) == len(set(pids)) == 11
    metrics = {part.metrics_address for part in platform.parts().values() if part.metrics_address}
    assert len(metrics) == 7
    await platform.stop()


@pytest.mark.parametrize("part", [*CORE, "auth"])
async def test_a_part_that_is_killed_comes_back(platform: Supervised, part: str) -> None:
    await platform.start()
    before = platform.found(part)
    os.kill(before.pid, signal.SIGKILL)

    def is_back() -> None:
        assert platform.found(part) != before
        assert platform.parts()[part].restarts == 1
        assert platform.status().is_well
        serves(platform)

    await eventually(is_back, within=20)
    await platform.stop()


async def test_while_services_are_away_a_standby_serves_an_edge_that_was_started_anew(platform: Supervised) -> None:
    await platform.start()
    assert "standby" not in platform.parts()
    (platform.path / "refuse").touch()
    before = platform.found("envoy")
    os.kill(platform.found("router").pid, signal.SIGKILL)
    await eventually(lambda: platform.parts()["router"].restarts > 1, within=20)
    assert "standby" not in platform.parts(), "an edge that serves needs nobody"

    os.kill(before.pid, signal.SIGKILL)

    def is_served_again() -> None:
        # The gateway is away with all other services: what answers is the edge.
        assert probe.http_status(ports.LOOPBACK, platform.port, "/") == 503

    await eventually(is_served_again, within=20)
    assert platform.found("envoy") != before
    standby = platform.found("standby")
    (platform.path / "refuse").unlink()

    def is_over() -> None:
        serves(platform)
        assert platform.status().is_well
        assert not standby.alive

    await eventually(is_over, within=20)
    assert "standby" not in platform.parts()
    assert '"event": "part.died", "part": "standby"' not in platform.said()
    await platform.stop()


async def test_a_killed_supervisors_servers_are_adopted_and_its_services_replaced(platform: Supervised) -> None:
    await platform.start()
    before = {part: platform.found(part) for part in (*CORE, "auth")}
    application = platform.application()
    await platform.kill()
    serves(platform)
    assert platform.status().phase == "crashed"

    await platform.start()
    assert {part: platform.found(part) for part in CORE} == {part: before[part] for part in CORE}
    assert platform.found("auth") != before["auth"]
    assert platform.application() == application
    os.kill(before["nats"].pid, signal.SIGKILL)

    def is_watched() -> None:
        assert platform.found("nats") != before["nats"], "an adopted part is restarted like any other"

    await eventually(is_watched)
    await platform.stop()
    assert not [process for process in before.values() if process.alive]


async def test_a_pid_that_belongs_to_another_process_by_now_is_not_touched(platform: Supervised) -> None:
    await platform.start()
    application = platform.application()
    assert application
    await platform.stop()
    # As if nats had had this pid in the crashed run, started at another time.
    path = platform.home.state / "platform.json"
    last = json.loads(path.read_text())
    for part in last["parts"]:
        if part["name"] in {"nats", "services"}:
            part.update(pid=application.pid, start=application.start - 5, state="ready")
    path.write_text(json.dumps(last))
    await platform.start()
    assert application.alive
    assert platform.found("nats") != application
    await platform.stop()


async def test_servers_that_no_record_knows_are_found_and_never_run_twice(platform: Supervised) -> None:
    await platform.start()
    before = {part: platform.found(part) for part in (*CORE, "auth")}
    await platform.kill()
    (platform.home.state / "platform.json").unlink()
    await platform.start()
    assert not [process for process in before.values() if process.alive]
    assert platform.status().is_well
    await platform.stop()


async def test_after_everything_was_killed_it_starts_on_the_same_data_and_ports(platform: Supervised) -> None:
    await platform.start()
    before = platform.parts()
    await platform.kill()
    for part in CORE:
        os.kill(before[part].pid or 0, signal.SIGKILL)
    os.kill(before["auth"].pid or 0, signal.SIGKILL)
    await platform.start()
    after = platform.parts()
    assert {name: part.address for name, part in after.items()} == {name: part.address for name, part in before.items()}
    assert '"event": "part.started", "part": "provision"' not in platform.said().split("platform.starting")[-1]
    await platform.stop()


async def test_one_home_is_run_by_one_supervisor(platforms: Make) -> None:
    first, second = platforms("home"), platforms("home")
    await first.start()
    second.launch()
    assert await second.ends() == 1
    assert "already running" in first.said()
    assert first.status().is_well
    await first.stop()


async def test_two_platforms_do_not_disturb_each_other(platforms: Make) -> None:
    first, second = platforms("first"), platforms("second")
    await first.start()
    await second.start()
    await first.stop()
    assert second.status().is_well
    serves(second)
    await second.stop()


async def test_a_busy_edge_port_is_told_in_one_sentence_and_nothing_is_left(platforms: Make) -> None:
    first, second = platforms("first"), platforms("second")
    second.port = first.port
    await first.start()
    second.launch()
    assert await second.ends() == 1
    wanted = f"Port {first.port} is in use by another program. Set LIGHTRAIL_PORT to a free one."
    now = second.status()
    assert (now.phase, now.message, now.parts) == ("failed", wanted, [])
    assert first.status().is_well
    await first.stop()


async def test_a_part_that_does_not_start_fails_the_platform_with_its_last_words(platform: Supervised) -> None:
    platform.path.mkdir()
    (platform.path / "refuse").touch()
    platform.launch()
    assert await platform.ends() == 1
    now = platform.status()
    assert now.phase == "failed"
    assert "services does not start" in now.message
    assert "refused: the test wants it so" in now.message
    assert now.parts == []


async def test_a_start_that_fails_leaves_the_adopted_edge_serving(platform: Supervised) -> None:
    await platform.start()
    edge = platform.found("envoy")
    await platform.kill()
    (platform.path / "refuse").touch()
    platform.launch()
    assert await platform.ends() == 1
    assert edge.alive
    (platform.path / "refuse").unlink()
    await platform.start()
    assert platform.found("envoy") == edge
    await platform.stop()


async def test_external_servers_are_used_and_not_run(platforms: Make) -> None:
    own = platforms("own")
    await own.start()
    admin = own.home.keys / "postgres.password"
    address = own.parts()["postgres"].address
    nats = dict(line.split("=", 1) for line in (own.path / "environment-all").read_text().splitlines() if "=" in line)
    guest = platforms(
        "guest",
        LIGHTRAIL_DATABASE_URL=f"postgresql://postgres:{admin.read_text()}@{address}/guest",
        LIGHTRAIL_NATS_URL=nats["LIGHTRAIL_NATS_URL"],
        LIGHTRAIL_ENVOY="external",
    )
    await guest.start()
    states = {name: part.state for name, part in guest.parts().items()}
    assert [states[name] for name in CORE] == ["external"] * 3
    assert states["auth"] == "running"
    said = (guest.path / "environment-all").read_text()
    assert f"@{address}/guest" in said
    assert admin.read_text() not in said
    await guest.stop()
    await own.stop()


async def test_a_part_whose_port_another_program_takes_meanwhile_gets_another(platform: Supervised) -> None:
    await platform.start()
    with ExitStack() as others:
        for part, name in {"nats": "nats", "postgres": "postgres", "gateway": "gateway-http"}.items():
            before = {one: platform.found(one) for one in (*CORE, "gateway")}
            chosen = platform.chosen_ports()
            # The supervisor is stopped first, so that it starts nobody before the other program is there.
            assert platform.process
            platform.process.send_signal(signal.SIGSTOP)
            os.kill(before[part].pid, signal.SIGKILL)
            others.enter_context(await _taking(chosen[name]))
            platform.process.send_signal(signal.SIGCONT)
            await eventually(partial(_is_well_elsewhere, platform, name, chosen), within=40)

            told = (platform.path / "environment-all").read_text()
            assert f":{platform.chosen_ports()[name]}" in told, "services know where it is now"
            assert f":{chosen[name]}" not in told
            untouched = {*CORE} - {part}
            assert {one: platform.found(one) for one in untouched} == {one: before[one] for one in untouched}
        moved = platform.chosen_ports()
        await platform.stop()
        await platform.start()
        assert platform.chosen_ports() == moved, "the next start does not look for the former ports"
    await platform.stop()


def _is_well_elsewhere(platform: Supervised, name: str, chosen: dict[str, int]) -> None:
    now = platform.chosen_ports()
    assert {key for key in chosen if now[key] != chosen[key]} == {name}
    assert platform.status().is_well
    serves(platform)


async def _taking(port: int) -> socket.socket:
    def taken() -> socket.socket:
        try:
            return socket.create_server((ports.LOOPBACK, port))
        except OSError as error:
            raise AssertionError(f"{port} is not free yet: {error}") from error

    return await eventually(taken)
