"""What only real processes show: layers, crashes of the platform, limits, what an instance is given."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from libs.blobs.archive import pack
from libs.blobs.directory import DirectoryBlobs
from libs.kernel.errors import Invalid, NotFound
from libs.kernel.secret import Secret
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from services.deploy.adapters.free_port import is_free
from services.deploy.adapters.health import check_health
from services.deploy.adapters.process_runtime import ProcessRuntime
from services.deploy.domain.instance import Launch, Layer, Observed
from tests.contract.runtime_suite import ended, launch, printed, seen

STARTS = """
import asyncio, os, signal, sys
from pathlib import Path
from libs.runtime.clock import SystemClock
from services.deploy.adapters.process_runtime import ProcessRuntime
from services.deploy.domain.instance import Artifact, Launch

home, instance, command, then = sys.argv[1:]

async def main():
    runtime = await ProcessRuntime.open(Path(home), SystemClock())
    artifact = Artifact(digest="", layers=(), start_command=command, working_directory="/tmp")
    print("ready", flush=True)
    await runtime.start(Launch(instance, "dep", "svc", "env", 0, artifact))
    if then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest_asyncio.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    yield tmp_path
    runtime = await ProcessRuntime.open(tmp_path, SystemClock())
    for observed in await runtime.observe():
        await runtime.remove(observed.instance_id)


async def opened(home: Path) -> ProcessRuntime:
    return await ProcessRuntime.open(home, SystemClock())


async def layer(home: Path, mount: str, files: dict[str, str], *, writable: bool = False) -> Layer:
    source, archive = home / "source", home / "packed"
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("->"):
            path.symlink_to(text[2:])
        else:
            path.write_text(text)
    pack(source, archive)
    blob = await DirectoryBlobs(home / "blobs").put_file(archive, move=True)
    for path in sorted(source.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    return Layer(blob.digest, mount, writable, blob.size)


def with_layers(command: str, *layers: Layer, directory: str = "/app") -> Launch:
    wanted = launch(command)
    artifact = replace(wanted.artifact, layers=layers, working_directory=directory)
    return replace(wanted, artifact=artifact)


async def text_of(runtime: ProcessRuntime, wanted: Launch) -> str:
    await ended(runtime, wanted)
    return (await runtime.read_output(wanted.instance_id, 0, 100_000)).decode()


async def starter(home: Path, wanted: Launch, then: str) -> asyncio.subprocess.Process:
    """A process of its own that starts the instance, once it says that it is ready."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTS, str(home), wanted.instance_id, wanted.artifact.start_command, then),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    assert await process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("moment", [0, 0.003, 0.006, 0.012, 0.02])
async def test_platform_killed_at_any_moment_of_a_start_is_finished_by_the_next(home: Path, moment: float) -> None:
    wanted = launch("echo up; exec sleep 1000")
    process = await starter(home, wanted, "stay")
    with suppress(TimeoutError):
        async with asyncio.timeout(moment):
            await process.wait()
    process.kill()
    await process.wait()
    runtime = await opened(home)
    await runtime.start(wanted)
    await printed(runtime, wanted, b"up\n")
    await runtime.terminate(wanted.instance_id, grace=5)
    observed = await seen(runtime, wanted)
    assert (observed.alive, observed.exit_code) == (False, 143)
    assert await runtime.read_output(wanted.instance_id, 0, 100) == b"up\n"


async def test_killed_platform_leaves_its_instances_running_and_the_next_one_adopts_them(home: Path) -> None:
    talks = "i=0; while [ $i -lt 8 ]; do echo $i; i=$((i+1)); sleep 0.1; done; exit 6"
    wanted = launch(talks)
    process = await starter(home, wanted, "die")
    assert await process.wait() == -signal.SIGKILL
    runtime = await opened(home)
    assert (await seen(runtime, wanted)).alive
    assert (await ended(runtime, wanted)).exit_code == 6
    assert await runtime.read_output(wanted.instance_id, 0, 100) == b"0\n1\n2\n3\n4\n5\n6\n7\n"


async def test_start_that_died_anywhere_is_finished_by_the_next(home: Path) -> None:
    app = await layer(home, "/app", {"main.sh": "echo hello\n"}, writable=True)
    wanted = with_layers("sh main.sh; exit 3", app)
    folder = home / "instances" / wanted.instance_id
    # A torn copy, a torn decision, a lock nobody holds, and a status that nobody wrote to.
    (folder / "layer-0.new" / "half").mkdir(parents=True)
    (folder / "decided.new").write_text("{")
    (folder / "status.lock").touch()
    (folder / "status").touch()
    runtime = await opened(home)
    assert await runtime.observe() == []
    await runtime.start(wanted)
    assert await text_of(runtime, wanted) == "hello\n"


async def test_port_that_was_taken_before_the_start_is_replaced(home: Path) -> None:
    wanted = launch("exit 0")
    runtime = await opened(home)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    taken = server.sockets[0].getsockname()[1]
    folder = home / "instances" / wanted.instance_id
    folder.mkdir()
    (folder / "decided.json").write_bytes(
        msgspec.json.encode({"port": taken, "started_at": SystemClock().now()}),
    )
    await runtime.start(wanted)
    assert (await seen(runtime, wanted)).port != taken
    server.close()
    await server.wait_closed()


async def test_writable_layer_is_each_instances_own_and_others_are_shared(home: Path) -> None:
    files = {"main.sh": "cat note lib/dep.txt; echo mine > note", "note": "first\n"}
    app = await layer(home, "/app", files, writable=True)
    deps = await layer(home, "/app/lib", {"dep.txt": "dep\n"})
    runtime = await opened(home)
    for _ in range(2):
        wanted = with_layers("sh main.sh; echo x 2>/dev/null > lib/dep.txt || echo fixed; cat note", app, deps)
        await runtime.start(wanted)
        assert await text_of(runtime, wanted) == "first\ndep\nfixed\nmine\n"
    assert (home / "layers" / deps.digest.removeprefix("sha256:") / "dep.txt").stat().st_nlink == 1


async def test_link_where_a_layer_is_mounted_gives_way_and_leads_nowhere(home: Path) -> None:
    outside = home / "outside"
    outside.mkdir()
    app = await layer(home, "/app", {"lib": f"->{outside}", "a": f"->{outside}"}, writable=True)
    deps = await layer(home, "/app/lib/deep", {"dep.txt": "dep\n"})
    wanted = with_layers("cat lib/deep/dep.txt; ls a/ || echo nowhere", app, deps)
    runtime = await opened(home)
    await runtime.start(wanted)
    assert "dep\n" in await text_of(runtime, wanted)
    assert "nowhere" in await text_of(runtime, wanted)
    assert list(outside.iterdir()) == []


async def test_layer_inside_a_fixed_layer_needs_its_directory(home: Path) -> None:
    outer = await layer(home, "/app", {"there/x": "x", "file": "y"})
    inner = await layer(home, "/app/there", {"dep.txt": "dep\n"})
    runtime = await opened(home)
    wanted = with_layers("cat there/dep.txt", outer, inner)
    await runtime.start(wanted)
    assert await text_of(runtime, wanted) == "dep\n"
    with pytest.raises(Invalid, match="cannot be mounted at /app/missing"):
        await runtime.start(with_layers("true", outer, replace(inner, mount="/app/missing")))
    assert len(await runtime.observe()) == 1


async def test_missing_and_damaged_layers_are_said_and_leave_nothing(home: Path) -> None:
    runtime = await opened(home)
    app = await layer(home, "/app", {"main.sh": "echo hello\n"}, writable=True)
    with pytest.raises(NotFound, match="is not stored"):
        await runtime.start(with_layers("true", replace(app, digest=f"sha256:{'0' * 64}")))
    blob = await DirectoryBlobs(home / "blobs").path(app.digest)
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-9])
    for writable in (True, False):
        with pytest.raises(Invalid, match=r"damaged|cut short"):
            await runtime.start(with_layers("true", replace(app, writable=writable)))
    assert list((home / "layers").iterdir()) == []


async def test_layer_torn_by_a_power_cut_is_made_again(home: Path) -> None:
    deps = await layer(home, "/deps", {"dep.txt": "whole\n"})
    place = home / "layers" / deps.digest.removeprefix("sha256:")
    place.mkdir(parents=True)
    (place / "dep.txt").write_text("torn")
    ready(place).write_text('{"boot": "another", "durable": false}')
    runtime = await opened(home)
    wanted = with_layers("cat /deps/dep.txt", deps, directory="/")
    await runtime.start(wanted)
    assert await text_of(runtime, wanted) == "whole\n"
    await eventually(lambda: b'"durable":true' in ready(place).read_bytes())


async def test_layers_that_no_instance_has_are_removed_after_some_days(home: Path) -> None:
    runtime = await opened(home)
    kept, old, fresh = [await layer(home, "/deps", {"dep.txt": text}) for text in ("kept", "old", "fresh")]
    launches = [with_layers("exec sleep 1000", each, directory="/") for each in (kept, old, fresh)]
    places = [home / "layers" / each.digest.removeprefix("sha256:") for each in (kept, old, fresh)]
    for wanted in launches:
        await runtime.start(wanted)
    await eventually(lambda: all(b'"durable":true' in ready(place).read_bytes() for place in places))
    for place in places[:2]:
        os.utime(ready(place), (0, 0))
    for wanted in launches[1:]:
        await runtime.remove(wanted.instance_id)
    assert [place.exists() for place in places] == [True, False, True]
    await runtime.start(with_layers("exec sleep 1000", old, directory="/"))
    assert places[1].exists()


def ready(place: Path) -> Path:
    return place.with_name(place.name + ".ready")


async def test_instance_gets_its_variables_over_the_artifacts_and_port_over_all(home: Path) -> None:
    wanted = launch('echo "$A $B $PORT $HOME $LIGHT"; env | grep -c LIGHTRAIL_HOME')
    artifact = replace(wanted.artifact, environment={"A": "artifact", "B": "artifact"})
    variables = {"B": Secret("user"), "PORT": Secret("1"), "LIGHT": Secret("it's")}
    wanted = replace(wanted, artifact=artifact, variables=variables)
    runtime = await opened(home)
    await runtime.start(wanted)
    port = (await seen(runtime, wanted)).port
    assert await text_of(runtime, wanted) == f"artifact user {port} /tmp it's\n0\n"


def _files_with(home: Path, text: bytes) -> list[Path]:
    files = [path for path in home.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if text in path.read_bytes()]


async def test_variables_are_not_on_the_disk(home: Path) -> None:
    wanted = replace(launch("exec sleep 1000"), variables={"TOKEN": Secret("hunter2hunter2")})
    runtime = await opened(home)
    await runtime.start(wanted)
    assert not _files_with(home, b"hunter2hunter2")


async def test_instance_answers_on_its_port(home: Path) -> None:
    wanted = launch("exec python3 -m http.server $PORT --bind 0.0.0.0")
    runtime = await opened(home)
    await runtime.start(wanted)
    port = (await seen(runtime, wanted)).port
    assert port

    async def healthy() -> None:
        for path in (None, "/"):
            assert (await check_health(port, path)).healthy

    await eventually(healthy)
    assert not is_free(port)
    assert (await check_health(port, "/missing")).reason == "It answered 404."
    await runtime.remove(wanted.instance_id)
    assert (await check_health(port, None)).reason == f"Nothing listens on port {port}."


async def test_instance_out_of_memory_is_seen_as_such(home: Path) -> None:
    runtime = await opened(home)
    wanted = replace(launch("python3 -c 'x = bytearray(300 << 20)'"), memory_limit_bytes=64 << 20)
    await runtime.start(wanted)
    observed = await ended(runtime, wanted)
    assert observed.exit_code != 0
    assert observed.oom is runtime._sandbox.grouped
    again = await seen(await opened(home), wanted)
    assert again.oom is observed.oom


async def test_what_a_main_process_leaves_behind_ends_with_it(home: Path) -> None:
    runtime = await opened(home)
    wanted = launch("setsid sleep 1000 & echo up; exit 4")
    await runtime.start(wanted)
    assert (await ended(runtime, wanted)).exit_code == 4
    await printed(runtime, wanted, b"up\n")


async def test_files_that_an_instance_forbids_are_removed_with_it(home: Path) -> None:
    app = await layer(home, "/app", {"x/y/z": "z"}, writable=True)
    wanted = with_layers("chmod 000 x/y x; exit 0", app)
    runtime = await opened(home)
    await runtime.start(wanted)
    await ended(runtime, wanted)
    await runtime.remove(wanted.instance_id)
    assert list((home / "instances").iterdir()) == []


async def test_removal_that_died_is_finished_by_the_next_opening(home: Path) -> None:
    (home / "instances" / ".gone-ins_1" / "deep").mkdir(parents=True)
    await opened(home)
    assert list((home / "instances").iterdir()) == []


async def test_trimmed_output_leaves_the_disk(home: Path) -> None:
    runtime = await opened(home)
    wanted = launch("head -c 4000000 /dev/zero | tr '\\0' a; echo; echo end")
    await runtime.start(wanted)
    await ended(runtime, wanted)
    output = home / "instances" / wanted.instance_id / "output"
    before = output.stat().st_blocks
    await runtime.trim_output(wanted.instance_id, 4_000_001)
    assert await runtime.read_output(wanted.instance_id, 4_000_001, 100) == b"end\n"
    assert output.stat().st_blocks < before / 4


@pytest.mark.parametrize("name", ["../keys", "ins_1", "", "ins_01jd0000000000000000000000/x"])
async def test_what_is_no_instance_id_is_never_a_path(home: Path, name: str) -> None:
    runtime = await opened(home)
    for call in (runtime.remove(name), runtime.terminate(name, grace=0), runtime.read_output(name, 0, 1)):
        with pytest.raises(Invalid, match="no instance id"):
            await call


async def test_counters_grow_and_stay_after_the_end(home: Path) -> None:
    runtime = await opened(home)
    wanted = launch("python3 -c 'for i in range(4000000): pass'")
    await runtime.start(wanted)
    observed: Observed = await ended(runtime, wanted)
    if runtime._sandbox.grouped:
        assert observed.cpu_microseconds > 50_000
    assert observed.memory_bytes == 0
