from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from libs.kernel.units import MIB
from libs.plans.faults import BuildFault
from libs.sandbox.spec import Exit, Mount, Spec
from libs.testing.eventually import eventually
from services.build.domain.model import Artifact
from tests.integration.build.sites import EXAMPLES, Site
from tests.integration.build.world import running

ADD = "import sysconfig\nopen(sysconfig.get_path('purelib') + '/extra.py', 'w').write('x = 1')\n"
HOG = "x = bytearray(10**9)\nx[::4096] = b'1' * len(x[::4096])\n"


@pytest_asyncio.fixture
async def site(open_folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    yield await Site.open(open_folder / f"site-{abs(hash(request.node.nodeid)):x}")


async def ran(site: Site, artifact: Artifact, command: str) -> str:
    """What a command prints where the artifact runs."""
    mounts = [Mount(Path(path), path) for path in artifact.host_paths]
    for layer in artifact.layers:
        folder = await site.unpacked(artifact, layer.mount)
        if layer.writable:
            site.sandbox.adopt_owner(folder, "app")
        mounts.append(Mount(folder, layer.mount, writable=layer.writable))
    said = bytearray()

    async def hear(_stream: str, data: bytes) -> None:
        said.extend(data)

    spec = Spec(["sh", "-c", command], artifact.environment, artifact.working_directory, mounts, "app")
    ended: Exit = await site.sandbox.run(spec, output=hear, timeout=20)
    assert ended.code == 0, said.decode()
    return said.decode()


async def test_a_second_build_after_one_changed_line_installs_nothing(site: Site) -> None:
    first = await site.build(EXAMPLES / "guestbook-python")
    again = await site.build(EXAMPLES / "guestbook-python")
    assert again.digest == first.digest
    source = {
        str(path.relative_to(EXAMPLES / "guestbook-python")): path.read_text()
        for path in (EXAMPLES / "guestbook-python").rglob("*")
        if path.is_file()
    }
    source["main.py"] += "\nCHANGED = True\n"
    begun = time.monotonic()
    changed = await site.build(source)
    assert time.monotonic() - begun < 2.0
    assert "[install] dependencies: cached" in site.heard.lines
    assert changed.layers[0].digest != first.layers[0].digest
    assert changed.layers[1] == first.layers[1]
    shown = "python -c 'import main, sys; print(main.CHANGED, sys.prefix, main.app.title)'"
    assert await ran(site, changed, shown) == "True /app/.venv Guestbook\n"
    assert "uvicorn" in await ran(site, changed, "uvicorn --version")


async def test_two_machines_make_the_same_artifact_of_the_same_source(open_folder: Path) -> None:
    one = await Site.open(open_folder / "twin-one")
    other = await Site.open(open_folder / "twin-other")
    assert (await one.build(EXAMPLES / "flask-pip")).digest == (await other.build(EXAMPLES / "flask-pip")).digest


async def test_a_requirement_that_does_not_exist_is_named_with_its_command(site: Site) -> None:
    with pytest.raises(BuildFault) as failure:
        await site.build(EXAMPLES / "broken-build")
    said = str(failure.value)
    assert "uv pip install --requirement requirements.txt" in said
    assert "flask==99.0.0" in said
    assert any("flask==99.0.0" in line for line in site.heard.lines)
    assert list((site.home / "build" / "work").iterdir()) == []


async def test_node_installs_what_its_lock_says(site: Site) -> None:
    artifact = await site.build(EXAMPLES / "node-express")
    assert artifact.start_command == "node server.js"
    assert "5.3.0" in await ran(site, artifact, "node -p 'require(\"express/package.json\").version'")
    await site.build(EXAMPLES / "node-express")
    assert "[install] dependencies: cached" in site.heard.lines


async def test_a_static_site_brings_its_own_server(site: Site) -> None:
    artifact = await site.build(EXAMPLES / "static-site")
    assert [layer.mount for layer in artifact.layers] == ["/app", "/opt/lightrail"]
    script = f"""
        PORT=18087 {artifact.start_command} & server=$!
        python3 - <<'END'
import time, urllib.request
for _ in range(200):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:18087/about/").headers["Content-Type"])
        break
    except OSError:
        time.sleep(0.02)
END
        kill -TERM $server; wait $server
    """
    assert "text/html; charset=utf-8" in await ran(site, artifact, script)


async def test_a_worker_needs_no_network_and_runs_as_python(site: Site) -> None:
    artifact = await site.build(EXAMPLES / "worker-python")
    assert artifact.kind == "worker"
    assert (await ran(site, artifact, "python -V")).startswith("Python 3")


async def test_a_build_command_changes_what_is_published_and_sees_variables(site: Site) -> None:
    source = {"main.py": "print(open('made.txt').read())\n"}
    command = "echo $WORD $HOME > made.txt && mkdir -p .git && echo x > .git/config"
    artifact = await site.build(source, build_command=command, variables={"WORD": "hi"})
    shown = await ran(site, artifact, "python main.py && ls -a /app")
    assert shown == "hi /home/app\n\n.\n..\n.venv\nmade.txt\nmain.py\n"


async def test_a_build_command_that_changes_dependencies_publishes_them_changed(site: Site) -> None:
    source = {"main.py": "import extra\n", "add.py": ADD}
    plain = await site.build(source)
    for _ in range(2):
        artifact = await site.build(source, build_command="python add.py")
        assert artifact.layers[1].digest != plain.layers[1].digest
        assert await ran(site, artifact, "python -c 'import extra; print(extra.x)'") == "1\n"


async def test_a_failing_build_command_says_how_and_its_last_words(site: Site) -> None:
    said = r"“echo compiling; echo oh no: error 7 >&2; exit 3” ended with exit code 3: oh no: error 7"
    with pytest.raises(BuildFault, match=said):
        await site.build({"main.py": "1\n"}, build_command="echo compiling; echo oh no: error 7 >&2; exit 3")


async def test_a_memory_hog_is_told_that_it_ran_out_of_memory(open_folder: Path) -> None:
    site = await Site.open(open_folder / "hog", memory=128 * MIB)
    if not site.sandbox.grouped:
        pytest.skip("caps on a whole tree need cgroups, which this machine does not give")
    with pytest.raises(BuildFault, match=r"ran out of memory \(limit 128 MiB\)"):
        await site.build({"main.py": "1\n", "hog.py": HOG}, build_command="python hog.py")


async def test_a_build_that_ignores_sigterm_ends_when_it_is_cancelled(site: Site) -> None:
    command = "trap '' TERM INT HUP; echo stubborn; while :; do sleep 1; done"
    async with running(_forget(site.build({"main.py": "1\n"}, build_command=command))) as task:
        await eventually(lambda: "stubborn" in site.heard.lines)
        begun = time.monotonic()
        task.cancel()
        await asyncio.wait([task])
    assert time.monotonic() - begun < 2.0
    assert list((site.home / "build" / "work").iterdir()) == []


async def test_a_build_sees_nothing_of_other_builds_or_the_platform(site: Site) -> None:
    (site.home / "keys").mkdir(mode=0o755)
    (site.home / "keys" / "identity").write_text("key material")
    command = f"! cat {site.home}/keys/identity && ! ls {site.home}/build/work && ! touch /usr/evil && id -u"
    await site.build({"main.py": "1\n"}, build_command=command)
    assert "key material" not in "\n".join(site.heard.lines)
    assert "0" not in site.heard.lines


async def test_links_left_by_a_build_leak_nothing_of_the_host(site: Site) -> None:
    artifact = await site.build(
        {"main.py": "1\n"}, build_command="ln -s /etc/shadow leak && ln -s ../../.. up && rm -rf .venv/nothing"
    )
    app = await site.unpacked(artifact, "/app")
    assert (app / "leak").is_symlink()
    assert "root:" not in "".join(
        path.read_text() for path in app.iterdir() if path.is_file() and not path.is_symlink()
    )


async def test_what_was_uploaded_where_dependencies_go_is_not_trusted(site: Site) -> None:
    artifact = await site.build({"main.py": "1\n", ".venv/bin/python": "#!/bin/sh\necho evil\n"})
    assert (await ran(site, artifact, "python -V")).startswith("Python 3")


async def test_workspaces_do_not_share_dependencies(site: Site) -> None:
    await site.build({"main.py": "1\n"}, workspace="wsp_1")
    await site.build({"main.py": "1\n"}, workspace="wsp_2")
    assert "[install] dependencies: cached" not in site.heard.lines


async def test_a_version_that_is_not_here_is_named_with_what_is(site: Site) -> None:
    with pytest.raises(BuildFault, match=r"\.python-version asks for Python 3\.99; this machine has .*3\."):
        await site.build({"main.py": "1\n", ".python-version": "3.99\n"})


async def test_pip_works_in_a_build_command(site: Site) -> None:
    await site.build({"main.py": "1\n"}, build_command="pip list && pip3 --version")
    assert any(line.startswith("uv") for line in site.heard.lines)


async def _forget(work: Awaitable[object]) -> None:
    await work


async def test_a_test_sees_what_was_built_and_changes_nothing_of_it(site: Site) -> None:
    source = {"main.py": "print(1)\n", "requirements.txt": "six==1.16.0\n"}
    settings: dict[str, Any] = {"build_command": "echo built > made.txt"}
    plain = await site.build(source, **settings)
    # With the dependencies from the cache now: they are laid out for the test too.
    command = (
        "python -c 'import six' && test \"$(cat made.txt) $WORD\" = 'built hi'"
        " && rm made.txt && echo more > .venv/more.txt && echo tested"
    )
    tested = await site.build(source, test_command=command, variables={"WORD": "hi"}, **settings)
    assert "tested" in site.heard.lines
    assert any(line.startswith("[test] test took") for line in site.heard.lines)
    assert tested.digest == plain.digest


async def test_a_failing_test_names_the_line_that_tells(site: Site) -> None:
    with pytest.raises(BuildFault, match=r"The step test failed: “echo .*ended with exit code 1: FAILED test_a"):
        await site.build({"main.py": "1\n"}, test_command="echo 'FAILED test_a'; exit 1")
