"""Fetches commits: as shallow as the other side allows, with submodules, into an archive of the blob store."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

import zstandard

from libs.blobs.archive import ArchiveLimits, pack
from libs.git.refs import HEADS, TAGS, is_commit, may_be_commit
from libs.git.url import RepoUrl, beside, repo_url
from libs.kernel.clock import Clock
from libs.kernel.errors import Failure, Invalid
from libs.kernel.units import show_bytes
from libs.plans.faults import BuildFault
from libs.sandbox.spec import Mount
from services.build.adapters.archives import CheckedArchives
from services.build.adapters.git import PLACE, Git, Ran, Room, Runner
from services.build.adapters.remotes import Remotes, new_host_keys, passing, refused, write_keys
from services.build.adapters.workdir import WorkDirs
from services.build.app.fetching import STEP, Checkout, SourceSecrets
from services.build.app.ports import Output
from services.build.domain.model import Build
from services.build.domain.source import Commit, GitWish

TREE: Final = f"{PLACE}/tree"
REPOS: Final = f"{PLACE}/repos"
PUSHED: Final = f"{PLACE}/pushed"
DEEPEST: Final = 5
MOST_SUBMODULES: Final = 100
RETRY_SECONDS: Final = 1.0
# Seconds between two looks at how much has come.
LOOK: Final = 1.0
_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_LARGEST_POINTER: Final = 1024
_SHOWN: Final = 3
_CHUNK: Final = 1024 * 1024
_LONGEST_WORDS: Final = 200


@dataclass(slots=True)
class _Visit:
    """One fetch under way; `folder` is its own on the host."""

    build: Build
    secrets: SourceSecrets
    output: Output
    folder: Path
    owner: str
    mounts: tuple[Mount, ...]
    # Settings, variables and addresses that reach each repository, by its origin.
    rooms: dict[str, Room] = field(default_factory=dict)
    submodules: int = 0

    @property
    def room(self) -> Room:
        """Where git runs without a network."""
        return Room(self.owner, self.mounts)


@dataclass(frozen=True, slots=True)
class GitRepositories:
    """Fetches in `work`; `pushed` holds the repositories that people push to."""

    git: Git
    sandbox: Runner
    work: WorkDirs
    pushed: Path
    archives: CheckedArchives
    limits: ArchiveLimits
    remotes: Remotes
    clock: Clock

    async def fetch(self, build: Build, wish: GitWish, secrets: SourceSecrets, output: Output) -> Checkout:
        """Fetches a commit with its submodules. BuildFault when it cannot be had, in words for its owner."""
        name = f"{build.id}-git"
        folder = await asyncio.to_thread(self.work.fresh, name)
        try:
            visit = await asyncio.to_thread(self._visit, build, wish, secrets, output, folder)
            await self.git.check(visit.room)
            return await self._limited(visit, wish)
        finally:
            await asyncio.to_thread(self.work.clean, name)

    def _visit(self, build: Build, wish: GitWish, secrets: SourceSecrets, output: Output, folder: Path) -> _Visit:
        owner = f"git:{build.workspace_id}"
        write_keys(folder / "keys", secrets)
        (folder / "tree").mkdir()
        (folder / "repos").mkdir()
        self.sandbox.adopt_owner(folder, owner)
        folder.chmod(0o711)
        mounts = [Mount(folder, PLACE, writable=True)]
        if wish.push_id:
            mounts.append(Mount(self.pushed / build.service_id / f"{build.environment_id}.git", PUSHED))
        return _Visit(build, secrets, output, folder, owner, tuple(mounts))

    async def _limited(self, visit: _Visit, wish: GitWish) -> Checkout:
        """Ends the fetch when more comes than a source may be."""
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._outcome(visit, wish), name=f"fetch:{visit.build.id}")
            watch = group.create_task(self._watch(visit, work), name=f"size:{visit.build.id}")
            await asyncio.wait([work])
            watch.cancel()
        if work.cancelled():
            most = show_bytes(self._most)
            raise BuildFault(
                f"The repository is larger than {most}, the most that is fetched here.",
                hint="Leave data and media out of the repository, or raise LIGHTRAIL_SNAPSHOT_LIMIT.",
            )
        outcome = work.result()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _outcome(self, visit: _Visit, wish: GitWish) -> Checkout | Exception:
        """What came of it: a failure is handed on as it is, not in a group."""
        try:
            return await self._checkout(visit, wish)
        except Exception as error:  # noqa: BLE001 - raised by the caller
            return error

    async def _watch(self, visit: _Visit, work: asyncio.Task[Checkout | Exception]) -> None:
        while not work.done():
            await self.clock.sleep(LOOK)
            if await asyncio.to_thread(_size, visit.folder) > self._most:
                work.cancel()
                return

    @property
    def _most(self) -> int:
        # Packed objects and the files themselves lie side by side.
        return 2 * self.limits.max_bytes

    async def _checkout(self, visit: _Visit, wish: GitWish) -> Checkout:
        if wish.push_id:
            repo, sha = PUSHED, wish.ref
            url = None
        else:
            url = repo_url(wish.url)
            await visit.output.say(STEP, f"{url}, {wish.ref or 'its default branch'}")
            repo = f"{REPOS}/0"
            sha = await self._fetch(visit, repo, url, wish.ref)
        commit = await self._commit(visit, repo, sha)
        await visit.output.say(STEP, f"{commit.sha[:12]} {commit.message} ({commit.author})")
        await self._lay_out(visit, repo, commit.sha, TREE)
        await self._submodules(visit, repo, commit.sha, url, "", 0)
        changed = await self._changed(visit, repo, url, commit.sha, wish.base_commit)
        await self._warn(visit)
        digest, size = await self._packed(visit)
        keys = await asyncio.to_thread(new_host_keys, visit.folder / "keys", visit.secrets)
        return Checkout(digest, size, commit, changed, keys)

    async def _fetch(self, visit: _Visit, repo: str, url: RepoUrl, ref: str) -> str:
        """Fetches one commit into a new repository and gives its hash."""
        await self._must(visit.room, "init", "--quiet", "--bare", "--template=", "--", repo)
        if is_commit(ref):
            ran = await self._remote(visit, url, f"--git-dir={repo}", *_FETCH, "--depth=1", "--", str(url), ref)
            if ran.good:
                return ref
            return await self._search(visit, repo, url, ref)
        wanted = [ref] if ref.startswith("refs/") else [f"{HEADS}{ref}", f"{TAGS}{ref}"] if ref else ["HEAD"]
        ran = await self._remote(visit, url, "ls-remote", "--quiet", "--", str(url), *wanted)
        if not ran.good:
            raise refused(url, ran, visit.secrets)
        there = {line.partition("\t")[2] for line in ran.out.decode("utf-8", "replace").splitlines()}
        found = next((name for name in wanted if name in there), None)
        if found is None:
            if may_be_commit(ref):
                return await self._search(visit, repo, url, ref)
            what = f"neither a branch nor a tag “{ref}”" if ref else "no commit yet"
            raise BuildFault(f"{url} has {what}.")
        ran = await self._remote(visit, url, f"--git-dir={repo}", *_FETCH, "--depth=1", "--", str(url), found)
        if not ran.good:
            raise refused(url, ran, visit.secrets)
        return "FETCH_HEAD"

    async def _search(self, visit: _Visit, repo: str, url: RepoUrl, ref: str) -> str:
        """Finds a commit that is not given by its hash, or whose hash is short, in the whole history."""
        await visit.output.say(STEP, f"{ref[:12]} is not given by itself: fetching the whole history")
        everything = (f"+{HEADS}*:refs/found/heads/*", f"+{TAGS}*:refs/found/tags/*")
        ran = await self._remote(visit, url, f"--git-dir={repo}", *_FETCH, "--", str(url), *everything)
        if not ran.good:
            raise refused(url, ran, visit.secrets)
        found = await self.git.run(
            visit.room, f"--git-dir={repo}", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
        )
        if not found.good:
            raise BuildFault(f"{url} has no commit {ref} on any branch or tag.")
        return found.out.decode().strip()

    async def _remote(self, visit: _Visit, url: RepoUrl, *arguments: str) -> Ran:
        """Runs a command that talks to a repository; once more when the line was bad."""
        room = visit.rooms.get(url.origin)
        if room is None:
            room = await self.remotes.room(url, visit.secrets, visit.owner, visit.mounts)
            visit.rooms[url.origin] = room
        ran = await self.git.run(room, *arguments)
        if not ran.good and passing(ran):
            await self.clock.sleep(RETRY_SECONDS)
            ran = await self.git.run(room, *arguments)
        return ran

    async def _must(self, room: Room, *arguments: str) -> bytes:
        ran = await self.git.run(room, *arguments)
        if not ran.good:
            raise BuildFault(f"What was fetched cannot be laid out: {ran.complaint}")
        return ran.out

    async def _commit(self, visit: _Visit, repo: str, sha: str) -> Commit:
        out = await self._must(
            visit.room, f"--git-dir={repo}", "log", "-1", "--no-show-signature", "--format=%H%x00%an%x00%s", sha, "--"
        )
        found, author, message = (*out.decode("utf-8", "replace").rstrip("\n").split("\0"), "", "")[:3]
        return Commit(found, message[:_LONGEST_WORDS], author[:_LONGEST_WORDS])

    async def _lay_out(self, visit: _Visit, repo: str, sha: str, place: str) -> None:
        """Writes a commit's files; the repository itself is only read."""
        index = {"GIT_INDEX_FILE": f"{PLACE}/index"}
        room = Room(visit.owner, visit.mounts, environment=index)
        work = (f"--git-dir={repo}", f"--work-tree={place}")
        await self._must(room, *work, "read-tree", "--reset", sha)
        await self._must(room, *work, "checkout-index", "--all", "--force", "--quiet", f"--prefix={place}/")

    async def _submodules(
        self, visit: _Visit, repo: str, sha: str, url: RepoUrl | None, below: str, depth: int
    ) -> None:
        for path, written in (await self._listed(visit, repo, sha)).items():
            out = await self._must(visit.room, f"--git-dir={repo}", "ls-tree", "-z", sha, "--", path)
            mode, _, wanted = out.decode("utf-8", "replace").partition("\t")[0].partition(" commit ")
            if mode != "160000" or not is_commit(wanted):
                continue
            visit.submodules += 1
            if visit.submodules > MOST_SUBMODULES or depth >= DEEPEST:
                raise BuildFault(f"There are more submodules, or deeper ones, than this platform fetches: {path}.")
            place = _inside(visit.folder / "tree", f"{below}{path}")
            try:
                source = repo_url(written) if url is None else beside(url, written)
            except Invalid as failure:
                raise BuildFault(f"The submodule {path} cannot be fetched: {failure}") from failure
            await visit.output.say(STEP, f"submodule {below}{path}: {source}, {wanted[:12]}")
            there = f"{REPOS}/{visit.submodules}"
            found = await self._fetch(visit, there, source, wanted)
            await self._lay_out(visit, there, found, f"{TREE}/{place}")
            await self._submodules(visit, there, found, source, f"{below}{path}/", depth + 1)

    async def _listed(self, visit: _Visit, repo: str, sha: str) -> Mapping[str, str]:
        """The submodules that a commit speaks of: path to address."""
        ran = await self.git.run(
            visit.room, f"--git-dir={repo}", "config", "--blob", f"{sha}:.gitmodules", "-z", "--list"
        )
        if not ran.good:
            return {}
        found: dict[str, dict[str, str]] = {}
        for entry in ran.out.decode("utf-8", "replace").split("\0"):
            key, _, value = entry.partition("\n")
            section, _, name = key.rpartition(".")
            if section.startswith("submodule.") and name in ("path", "url"):
                found.setdefault(section, {})[name] = value
        return {one["path"]: one["url"] for one in found.values() if len(one) == 2}  # noqa: PLR2004 - path and url

    async def _changed(
        self, visit: _Visit, repo: str, url: RepoUrl | None, sha: str, base: str
    ) -> tuple[str, ...] | None:
        """Files that differ between two commits; None when the earlier one cannot be had."""
        if not base or not visit.secrets.watch_paths:
            return None
        if url is not None:
            ran = await self._remote(visit, url, f"--git-dir={repo}", *_FETCH, "--depth=1", "--", str(url), base)
            if not ran.good:
                await visit.output.say(STEP, f"note: {base[:12]}, which is live, is not given: it is built anyway")
                return None
        names = ("diff", "--name-only", "--no-renames", "--no-ext-diff", "-z")
        ran = await self.git.run(visit.room, f"--git-dir={repo}", *names, base, sha, "--")
        if not ran.good or ran.cut:
            return None
        return tuple(path.decode("utf-8", "surrogateescape") for path in ran.out.split(b"\0") if path)

    async def _warn(self, visit: _Visit) -> None:
        pointers = await asyncio.to_thread(_pointers, visit.folder / "tree")
        if pointers:
            shown = ", ".join(pointers[:_SHOWN]) + (" …" if len(pointers) > _SHOWN else "")
            what = "1 file is a pointer" if len(pointers) == 1 else f"{len(pointers)} files are pointers"
            advice = "What it stands for is not fetched: commit the files themselves."
            await visit.output.say(STEP, f"note: {what} of Git LFS ({shown}). {advice}")

    async def _packed(self, visit: _Visit) -> tuple[str, int]:
        packed, out = visit.folder / "source.tar.zst", visit.folder / "source.tar.gz"
        try:
            await asyncio.to_thread(pack, visit.folder / "tree", packed, skip=_is_git, limits=self.limits)
            await asyncio.to_thread(_as_upload, packed, out)
            return await self.archives.keep(out)
        except Failure as failure:
            raise BuildFault(str(failure)) from failure


_FETCH: Final = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph", "--force")


def _as_upload(packed: Path, out: Path) -> None:
    """Packs it as uploads are packed, which every reader of sources knows; the same files give the same bytes."""
    with (
        packed.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as plain,
        out.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as squeezed,
    ):
        shutil.copyfileobj(plain, squeezed, _CHUNK)


def _is_git(path: str) -> bool:
    return path.rpartition("/")[2] == ".git"


def _inside(tree: Path, path: str) -> str:
    """The path of a submodule, when no link on its way leads elsewhere."""
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts or ".git" in parts:
        raise BuildFault(f"“{path[:80]}” is no place for a submodule.")
    here = tree
    for part in parts:
        here /= part
        if here.is_symlink():
            raise BuildFault(f"The submodule {path} lies behind a link.")
    return path


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - a Path each would double the time
            except FileNotFoundError:
                continue  # git's temporary files come and go
    return total


def _pointers(tree: Path) -> list[str]:
    """Files that stand for others which Git LFS keeps elsewhere."""
    found = []
    for place, _, names in os.walk(tree):
        for name in names:
            path = Path(place) / name
            if path.is_symlink() or path.stat().st_size > _LARGEST_POINTER:
                continue
            with path.open("rb") as file:
                if file.read(len(_POINTER)) == _POINTER:
                    found.append(path.relative_to(tree).as_posix())
    return sorted(found)
