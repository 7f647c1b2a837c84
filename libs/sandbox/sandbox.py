"""Runs programs in sandboxes: `run` to the end with its output, `start` so that it outlives this process."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from libs.kernel.errors import Unavailable
from libs.sandbox import bwrap, cgroups, detached, layout, owners, procfs, spawn
from libs.sandbox.spec import Exit, Process, Spec, Usage, exit_of

Output = Callable[[str, bytes], Awaitable[None]]
_CHUNK: Final = 64 * 1024
_RUN: Final = "run-"
_APPEND: Final = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
_TRIES: Final = 3
_KILL_SECONDS: Final = 2.0
_SAID: Final = 400  # bytes of bubblewrap's own complaint that are repeated in an error


class Sandbox:
    """Makes sandboxes on this machine; every process of one platform opens it on the same `home`.

    As root each owner gets an unprivileged uid of its own. As an ordinary user everything runs as that user in user
    namespaces, kept apart by what each can see. Caps are cgroups when this process may make them, else rlimits, which
    hold per process and have none for CPU.
    """

    def __init__(self, home: Path, bubblewrap: bwrap.Bubblewrap, *, grouped: bool = True) -> None:
        self._home = home.resolve()
        self._bubblewrap = bubblewrap
        name = hashlib.sha256(str(self._home).encode()).hexdigest()[:16]
        self._groups = cgroups.open_groups(name) if grouped else None
        self._folder = self._home / "sandbox"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._owners = owners.Owners(self._folder / "owners.json")
        self._runs = itertools.count(1)
        self._children: list[spawn.Child] = []

    @classmethod
    async def open(cls, home: Path) -> Sandbox:
        """Finds out what works here and ends what a killed process's `run` left; Unavailable when nothing works."""
        bubblewrap = await bwrap.find()
        sandbox = cls(home, bubblewrap)
        await sandbox._end_orphaned_runs()
        return sandbox

    @property
    def grouped(self) -> bool:
        """Whether caps are kept by cgroups."""
        return self._groups is not None

    def uid(self, owner: str) -> int:
        """The uid that the owner's programs run as."""
        return self._owners.uid(owner) if self._bubblewrap.privileged else os.geteuid()

    def adopt_owner(self, path: Path, owner: str) -> None:
        """Gives everything at `path` to the owner when we are root; nothing to do otherwise."""
        if self._bubblewrap.privileged:
            owners.give(path, self.uid(owner))

    async def run(self, spec: Spec, *, output: Output, timeout: float) -> Exit:  # noqa: ASYNC109 - a result, no error
        """Runs to the end and passes on what it prints, as ("stdout" | "stderr", bytes), in order per stream.

        After `timeout` seconds, and when the caller is cancelled, the whole tree is killed; also when this process
        dies. Invalid when the spec cannot be, Unavailable when the sandbox could not be made.
        """
        spec.check(self._home)
        key = f"{_RUN}{os.getpid()}-{procfs.start_ticks(os.getpid())}-{next(self._runs)}"
        group = self._groups.make(key, spec.limits) if self._groups else None
        try:
            return await self._run(spec, key, group, output, timeout)
        finally:
            await self._forget_run(key)

    async def _run(self, spec: Spec, key: str, group: cgroups.Group | None, output: Output, seconds: float) -> Exit:
        ears = _Ears(output)
        status = self._folder / key
        with ExitStack() as stack:
            child, out, err = self._spawn_tied(spec, group, status, stack)

            async def end() -> None:
                await child.ended()
                # What the main program left behind may hold the pipes; bubblewrap's own word that it dies with its
                # parent holds only some milliseconds after it began.
                _strike(status, key)

            try:
                async with asyncio.timeout(seconds) as deadline, asyncio.TaskGroup() as tasks:
                    for work in (ears.hear("stdout", out), ears.hear("stderr", err), end()):
                        tasks.create_task(work)
            except TimeoutError:
                if not deadline.expired():
                    raise
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None
            finally:
                child.kill_group()
                await end()
        oom = group.oom() if group else False
        if deadline.expired():
            return Exit(code=None, signal=signal.SIGKILL, oom=oom, timed_out=True)
        code = detached.read(status).code
        if code is None:
            raise Unavailable(f"The sandbox could not be made: {ears.last_words()}.")
        return exit_of(code, oom=oom)

    def _spawn_tied(
        self, spec: Spec, group: cgroups.Group | None, status: Path, stack: ExitStack
    ) -> tuple[spawn.Child, int, int]:
        """Starts a program that dies with us; its ends of the pipes are closed here, ours are the stack's."""
        uid = self.uid(spec.owner)
        made = layout.launch(spec, self._bubblewrap, uid, doors=group.doors if group else [], tied=True)
        with ExitStack() as theirs:
            null = _opened(theirs, os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
            told = _opened(theirs, os.open(status, _APPEND, 0o600))
            lock = _opened(theirs, detached.open_lock(status))
            spawn.try_lock(lock)
            files = {number: _opened(theirs, spawn.text_file(text)) for number, text in made.texts.items()}
            out, err = self._pipe(stack, theirs, uid), self._pipe(stack, theirs, uid)
            files |= {0: null, 1: out[1], 2: err[1], layout.STATUS: told, layout.LOCK: lock, layout.READY: null}
            return spawn.spawn(made.argv, files), out[0], err[0]

    async def _forget_run(self, key: str) -> None:
        """Returns when nothing of a run is left: no process, no group, no file."""
        status = self._folder / key
        _strike(status, key)
        process = detached.process(status, key)
        if process is not None:
            await self.wait(process, _KILL_SECONDS)
        await self._remove(key)
        for file in (status, detached.lock_of(status)):
            file.unlink(missing_ok=True)

    def _pipe(self, ours: ExitStack, theirs: ExitStack, uid: int) -> tuple[int, int]:
        read, write = os.pipe2(os.O_CLOEXEC)
        if self._bubblewrap.privileged:
            os.fchown(write, uid, uid)  # so that the program may open /dev/stdout again
        return _opened(ours, read), _opened(theirs, write)

    async def start(self, spec: Spec, *, output: Path, status: Path, key: str) -> Process:
        """Starts a program that outlives this process, at most once per `status` file, and returns when it runs.

        What it prints is appended to `output`, in order. Bubblewrap writes `status`; while anything runs inside, the
        file beside it (`.lock`) stays locked. Called again, it returns the same process, alive or ended. `key` names
        its cgroup. Invalid when the spec cannot be, Unavailable when the sandbox could not be made.
        """
        spec.check(self._home)
        self.poll()
        for _ in range(_TRIES):
            found = await self._start_once(spec, output, status, key)
            if found is not None:
                return found
        raise Unavailable("The sandbox that others were starting never got ready; start it again.")

    async def _start_once(self, spec: Spec, output: Path, status: Path, key: str) -> Process | None:
        """None: someone else's start, for which we waited, came to nothing."""
        with ExitStack() as stack:
            lock = _opened(stack, detached.open_lock(status))
            if not spawn.try_lock(lock):
                return await detached.wait_named(status, key)
            if ended := detached.process(status, key):
                return ended
            group = self._groups.make(f"app-{key}", spec.limits) if self._groups else None
            ready, before = self._spawn_detached(spec, group, output, status, lock, stack)
        try:
            async with asyncio.timeout(detached.START_SECONDS):
                await spawn.readable(ready)
            begun = os.read(ready, 1) != b""
        except TimeoutError:
            raise Unavailable("The sandbox is slow to start; this machine may be overloaded.") from None
        finally:
            os.close(ready)
        if not begun:
            await detached.wait_free(status)
        if not begun and detached.read(status).code is None:
            detached.forget(status)
            said = detached.said(output, before) or "it was killed while it started"
            raise Unavailable(f"The sandbox could not be made: {said}.")
        return await detached.wait_named(status, key)

    def _spawn_detached(
        self, spec: Spec, group: cgroups.Group | None, output: Path, status: Path, lock: int, stack: ExitStack
    ) -> tuple[int, int]:
        """Starts the writer of the output and the sandbox.

        Returns a pipe that says one byte once it runs, and the output's size before.
        """
        uid = self.uid(spec.owner)
        doors = group.doors if group else []
        made = layout.launch(spec, self._bubblewrap, uid, doors=doors, tied=False)
        null = _opened(stack, os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        log = _opened(stack, os.open(output, _APPEND, 0o600))
        told = _opened(stack, os.open(status, _APPEND, 0o600))
        read, write = self._pipe(stack, stack, uid)
        ready, say = os.pipe2(os.O_CLOEXEC)
        _opened(stack, say)
        files = {number: _opened(stack, spawn.text_file(text)) for number, text in made.texts.items()}
        files |= {0: null, 1: write, 2: write, layout.STATUS: told, layout.LOCK: lock, layout.READY: say}
        self._children.append(spawn.spawn(layout.writer(doors), {0: read, 1: log, 2: null, layout.LOCK: lock}))
        self._children.append(spawn.spawn(made.argv, files))
        return ready, os.fstat(log).st_size

    def find(self, status: Path, key: str) -> Process | None:
        """The process that was started with this status file, by whomever; None when none ever ran."""
        return detached.process(status, key)

    async def alive(self, process: Process) -> bool:
        """Whether anything of it runs still."""
        return detached.locked(process.status)

    async def exited(self, process: Process) -> Exit | None:
        """How its main program ended, None while that runs; a code of None: it ended and nobody saw how."""
        alive = detached.locked(process.status)
        facts = detached.read(process.status)
        if facts.code is None and alive:
            return None
        oom = self._groups is not None and self._groups.group(f"app-{process.key}").oom()
        return Exit(code=None, oom=oom) if facts.code is None else exit_of(facts.code, oom=oom)

    async def signal(self, process: Process, number: int) -> None:
        """Sends a signal to the main program and its process group; harmless when it has ended."""
        if not detached.is_ours(process):
            return
        # The sandbox's first process leads the group and ignores everything but SIGKILL.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    async def wait(self, process: Process, seconds: float) -> bool:
        """Waits until nothing of it runs, for so many seconds; False when something still does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await detached.wait_end(process)
        return not await self.alive(process)

    def strike(self, process: Process) -> None:
        """Kills the whole tree without waiting for its end; harmless when it has ended."""
        detached.kill(process)

    async def kill(self, process: Process) -> None:
        """Kills the whole tree and returns when nothing of it runs; Unavailable when the kernel needs too long."""
        for _ in range(2):
            detached.kill(process)
            if await self.wait(process, _KILL_SECONDS / 2):
                return
            if self._groups:
                self._groups.group(f"app-{process.key}").kill()
        raise Unavailable(f"The process of {process.key} did not end after SIGKILL; the kernel is holding it.")

    async def release(self, key: str) -> None:
        """Removes the cgroup of `key`, killing what is in it; harmless when there is none."""
        await self._remove(f"app-{key}")

    def usage(self, process: Process) -> Usage:
        """CPU and memory of the tree, by its cgroup when there is one; zero when it has ended and left none."""
        if self._groups:
            with suppress(FileNotFoundError):
                return self._groups.group(f"app-{process.key}").usage()
        return procfs.usage(procfs.tree(process.pid)) if detached.is_ours(process) else Usage(0, 0)

    def memory_of_runs(self) -> int:
        """Bytes held by everything that `run` is running, of every process of the platform; 0 without cgroups."""
        total = 0
        for key in self._groups.keys() if self._groups else ():
            if key.startswith(_RUN):
                with suppress(OSError):  # it ended meanwhile
                    total += self._groups.group(key).usage().memory_bytes if self._groups else 0
        return total

    def poll(self) -> None:
        """Frees what the kernel keeps of programs that ended; call it now and then."""
        self._children = [child for child in self._children if child.poll() is None]

    async def _end_orphaned_runs(self) -> None:
        keys = {name.removesuffix(".lock") for name in os.listdir(self._folder)}  # noqa: PTH208 - names
        for key in keys | (self._groups.keys() if self._groups else set()):
            if not key.startswith(_RUN):
                continue
            pid, ticks, _ = key.removeprefix(_RUN).split("-")
            if procfs.start_ticks(int(pid)) != int(ticks):
                await self._forget_run(key)

    async def _remove(self, key: str) -> None:
        """Kills and removes a group; gives up after two seconds and leaves the rest to the next opening."""
        if self._groups is None:
            return
        group = self._groups.group(key)
        waits = itertools.chain((0.001, 0.002, 0.005, 0.01, 0.02, 0.05), itertools.repeat(0.1, 20))
        for wait in waits:
            if group.remove():
                self._groups.fold()
                return
            group.kill()
            await asyncio.sleep(wait)


class _Ears:
    """Passes output on, and remembers the end of what was said on stderr."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._tail = b""

    async def hear(self, stream: str, handle: int) -> None:
        while True:
            await spawn.readable(handle)
            chunk = os.read(handle, _CHUNK)
            if not chunk:
                return
            if stream == "stderr":
                self._tail = (self._tail + chunk)[-_SAID:]
            await self._output(stream, chunk)

    def last_words(self) -> str:
        return self._tail.decode(errors="replace").strip() or "it was killed while it started"


def _strike(status: Path, key: str) -> None:
    process = detached.process(status, key)
    if process is not None:
        detached.kill(process)


def _opened(stack: ExitStack, handle: int) -> int:
    stack.callback(os.close, handle)
    return handle
