from __future__ import annotations

from pathlib import Path

from libs.kernel.units import GIB, MIB
from services.build.adapters.machine import ThisMachine


def laid_out(root: Path, own: str, files: dict[str, str]) -> ThisMachine:
    proc, groups = root / "proc", root / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable:    4194304 kB\n")
    (proc / "self" / "cgroup").write_text(own)
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    return ThisMachine(root, lambda: 7, proc, groups)


async def test_the_machine_itself_says_what_is_available(tmp_path: Path) -> None:
    free = await laid_out(tmp_path, "0::/\n", {}).free()
    assert (free.memory, free.used_by_builds) == (4 * GIB, 7)
    assert free.disk > 0


async def test_a_container_has_no_more_than_its_own_cap(tmp_path: Path) -> None:
    files = {
        "box/memory.max": "1073741824\n", "box/memory.current": "838860800\n",
        "box/memory.stat": "anon 1\ninactive_file 104857600\n",
        "box/unit/memory.max": "max\n", "box/unit/memory.current": "1\n", "box/unit/memory.stat": "anon 1\n",
    }  # fmt: skip
    free = await laid_out(tmp_path, "0::/box/unit\n", files).free()
    assert free.memory == 1024 * MIB - 700 * MIB


async def test_the_first_version_of_control_groups_is_read_too(tmp_path: Path) -> None:
    files = {
        "memory/box/memory.limit_in_bytes": "1073741824\n", "memory/box/memory.usage_in_bytes": "1073741824\n",
        "memory/box/memory.stat": "cache 5\ntotal_inactive_file 536870912\n",
    }  # fmt: skip
    free = await laid_out(tmp_path, "4:cpu,cpuacct:/box\n3:memory:/box\n", files).free()
    assert free.memory == 512 * MIB
