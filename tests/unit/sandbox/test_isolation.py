from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path

import pytest

from libs.sandbox import seccomp
from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Mount
from tests.unit.sandbox.rig import PATH, ROOT, command_lines, gone, run, sh, spec, start

BELOW_ROOT = {
    *("app", "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "tmp", "usr", "var"),
}


async def test_variables_of_the_loader_have_no_power_before_root_is_left(sandbox: Sandbox) -> None:
    # A library named in LD_PRELOAD would run as root inside setpriv if setpriv saw the variable.
    _, heard = await run(sandbox, sh("echo $LD_PRELOAD", env={**PATH, "LD_PRELOAD": "/app/evil.so"}))
    assert heard.out == b"/app/evil.so\n"
    assert heard.err.count(b"evil.so") == 1  # the program's own start, and no earlier one's


async def test_variables_are_in_no_command_line_and_no_file(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = "hunter2-" + "x" * 20
    process = await start(sandbox, sh("exec sleep 100", env={**PATH, "TOKEN": secret}), tmp_path / "d")
    assert not any(secret.encode() in line for line in command_lines())
    assert not any(secret.encode() in file.read_bytes() for file in sorted((tmp_path / "d").iterdir()))
    await sandbox.kill(process)
    await sandbox.release("one")


async def test_program_sees_its_own_processes_only(sandbox: Sandbox) -> None:
    _, heard = await run(sandbox, sh("ls /proc | grep -c '^[0-9]'; cat /proc/1/cmdline | tr '\\0' ' '"))
    count, first = heard.out.decode().split("\n", 1)
    assert int(count) <= 5
    assert "bwrap" in first


async def test_program_sees_neither_the_platforms_files_nor_others_mounts(sandbox: Sandbox, tmp_path: Path) -> None:
    keys, mine = tmp_path / "home" / "keys", tmp_path / "home" / "instances" / "mine"
    keys.mkdir(parents=True)
    mine.mkdir(parents=True)
    (keys / "secret").write_text("top secret")
    (mine / "file").write_text("mine\n")
    script = f"cat {keys}/secret; ls {tmp_path} /root /home /srv /opt /mnt /sys /var/lib; cat /app/file; ls /"
    _, heard = await run(sandbox, sh(script, mounts=[Mount(mine, "/app")]))
    first, *rest = heard.out.decode().split()
    assert first == "mine"
    assert set(rest) <= BELOW_ROOT


async def test_program_writes_only_where_it_may(sandbox: Sandbox, tmp_path: Path) -> None:
    free, fixed = tmp_path / "free", tmp_path / "fixed"
    for folder in (free, fixed):
        folder.mkdir()
        sandbox.adopt_owner(folder, "test")
    places = "/usr/x /etc/x /x /proc/x /proc/sys/kernel/hostname /dev/x /fixed/x /free/x /tmp/x /var/tmp/x /dev/shm/x"
    script = f"for f in {places}; do (echo hi > $f) 2>/dev/null && echo $f; done; exit 0"
    _, heard = await run(sandbox, sh(script, mounts=[Mount(free, "/free", writable=True), Mount(fixed, "/fixed")]))
    assert heard.out == b"/free/x\n/tmp/x\n/var/tmp/x\n/dev/shm/x\n"
    assert (free / "x").read_text() == "hi\n"


async def test_program_has_no_privileges(sandbox: Sandbox) -> None:
    _, heard = await run(sandbox, sh("grep -E '^(Cap|NoNewPrivs|Groups|Uid)' /proc/self/status"))
    facts = dict(line.split(":", 1) for line in heard.out.decode().splitlines())
    assert {int(value, 16) for name, value in facts.items() if name.startswith("Cap")} == {0}
    assert facts["NoNewPrivs"].strip() == "1"
    assert "0" not in facts["Uid"].split()


async def test_program_cannot_mount_nor_make_devices(sandbox: Sandbox) -> None:
    script = (
        "mount -t tmpfs x /tmp && echo mounted; umount /usr && echo unmounted; mknod /tmp/sda b 8 0 && echo made;"
        "/usr/sbin/chroot / true && echo changed; echo done"
    )
    _, heard = await run(sandbox, sh(script))
    assert heard.out == b"done\n"


async def test_program_inherits_no_open_file(sandbox: Sandbox, tmp_path: Path) -> None:
    leak = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        _, heard = await run(sandbox, sh("ls /proc/self/fd"))
        await gone(sandbox, await start(sandbox, sh("ls /proc/self/fd"), tmp_path / "d"))
    finally:
        os.close(leak)
    own = [b"0", b"1", b"2", b"3"]  # 3 is the listing itself
    assert heard.out.split() == own
    assert (tmp_path / "d" / "one.out").read_bytes().split() == own
    await sandbox.release("one")


async def test_without_network_nothing_is_reached(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        dial = f"import socket; socket.create_connection(('127.0.0.1', {port}), 3); print('through')"
        _, shared = await run(sandbox, spec("/usr/bin/python3", "-c", dial))
        ended, closed = await run(sandbox, spec("/usr/bin/python3", "-c", dial, network=False))
    assert shared.out == b"through\n"
    assert (ended.code, closed.out) == (1, b"")


@pytest.mark.skipif(not ROOT, reason="an ordinary user has one uid")
async def test_owners_never_share_a_uid_and_keep_theirs(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    sandbox.adopt_owner(tmp_path / "w", "one")
    uids = {owner: (await run(sandbox, sh("id -u", owner=owner)))[1].out for owner in ("one", "two")}
    assert len({*uids.values(), b"0\n"}) == 3
    again = await Sandbox.open(tmp_path / "home")
    assert f"{again.uid('one')}\n".encode() == uids["one"]
    mounts = [Mount(tmp_path / "w", "/w", writable=True)]
    assert (await run(sandbox, sh("echo x > /w/x; chmod 600 /w/x", owner="one", mounts=mounts)))[0].code == 0
    assert (await run(sandbox, sh("cat /w/x || echo y > /w/y", owner="two", mounts=mounts)))[0].code != 0


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
async def test_adopting_follows_no_link(sandbox: Sandbox, tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    for folder in (tree, outside):
        folder.mkdir()
        (folder / "file").write_text("x")
    (tree / "link").symlink_to(outside / "file")
    (tree / "folder").symlink_to(outside)
    sandbox.adopt_owner(tree, "one")
    assert {path.lstat().st_uid for path in (tree, *tree.iterdir())} == {sandbox.uid("one")}
    assert {path.stat().st_uid for path in (outside, outside / "file")} == {0}


async def test_hosts_resolve(sandbox: Sandbox) -> None:
    script = "getent hosts db.internal; getent hosts localhost"
    _, heard = await run(sandbox, sh(script, hosts={"db.internal": "127.0.0.9"}))
    assert heard.out.split()[:2] == [b"127.0.0.9", b"db.internal"]
    assert b"localhost" in heard.out


async def test_calls_that_kernels_are_broken_through_are_closed(sandbox: Sandbox) -> None:
    script = (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        # unshare(CLONE_NEWUSER), then clone3, io_uring_setup, bpf, keyctl and userfaultfd by number
        "for call in ([272, 0x10000000], [435, 0, 0], [425, 8, 0], [321, 0, 0, 0], [250, 0, 0], [323, 0]):\n"
        "    print(libc.syscall(*call), ctypes.get_errno())\n"
        "import threading, subprocess\n"
        "thread = threading.Thread(target=print, args=('threads work',))\n"
        "thread.start()\nthread.join()\n"
        "print(subprocess.check_output(['echo', 'children work']))\n"
    )
    if os.uname().machine != "x86_64":
        pytest.skip("numbers of another machine")
    _, heard = await run(sandbox, spec("/usr/bin/python3", "-u", "-c", script))
    lines = heard.out.decode().splitlines()
    assert lines[:6] == ["-1 1", "-1 38", "-1 1", "-1 1", "-1 1", "-1 1"]
    assert lines[6:] == ["threads work", "b'children work\\n'"]


def test_every_known_machine_has_a_filter_whose_jumps_stay_inside() -> None:
    for machine in ("x86_64", "aarch64"):
        text = seccomp.program(machine)
        assert text
        steps = [struct.unpack("=HBBI", text[place : place + 8]) for place in range(0, len(text), 8)]
        jumps = [(place, code, yes, no) for place, (code, yes, no, _) in enumerate(steps) if code in {0x15, 0x35, 0x45}]
        assert all(place + 1 + max(yes, no) < len(steps) for place, _, yes, no in jumps)
        assert steps[-2][3] & 0xFFFF == errno.EPERM
        assert all(steps[place + 1 + yes][0] == 0x06 for place, code, yes, _ in jumps if code == 0x35)
    assert seccomp.program("vax") is None
