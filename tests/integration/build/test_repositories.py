from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from libs.blobs.archive import unpack
from libs.kernel.ids import new_id
from libs.kernel.secret import Secret
from libs.outbound.addresses import NOTHING, Allowance, parse_allowance
from libs.plans.faults import BuildFault
from libs.runtime.clock import SystemClock
from libs.sandbox.spec import Limits
from libs.scan.worker import survey_archive
from services.build.adapters.archives import archive_limits
from services.build.adapters.git import Git
from services.build.adapters.remotes import Remotes
from services.build.adapters.repositories import GitRepositories
from services.build.adapters.workdir import WorkDirs
from services.build.app.fetching import Checkout, SourceSecrets
from services.build.domain.model import Build, BuildState
from services.build.domain.source import GitWish
from services.project.adapters.deploy_keys import make_deploy_key
from tests.integration.build.githost import GitHost, Repository, SshHost, git
from tests.integration.build.sites import LIMIT, Site

HERE = parse_allowance("127.0.0.0/8")
NOTHING_SECRET = SourceSecrets()


class Fetcher:
    """The platform's way to repositories, with what operators may set."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.remotes = Remotes(("http", "https", "ssh"), HERE)
        self.limit = LIMIT

    async def fetch(self, wish: GitWish, secrets: SourceSecrets = NOTHING_SECRET) -> Checkout:
        repositories = GitRepositories(
            Git(self.site.sandbox, Limits(pids=500), 60.0),
            self.site.sandbox,
            WorkDirs(self.site.home / "build" / "work"),
            self.site.home / "build" / "git",
            self.site.archives,
            archive_limits(self.limit),
            self.remotes,
            SystemClock(),
        )
        made = new_id("build", SystemClock())
        now = SystemClock().now()
        build = Build(made, "wsp_1", "prj_1", "svc_1", "env_1", "dep_1", "", BuildState.RUNNING, now, git=wish)
        try:
            return await repositories.fetch(build, wish, secrets, self.site.heard)
        finally:
            left = await asyncio.to_thread(lambda: list((self.site.home / "build" / "work").iterdir()))
            assert left == []

    async def files(self, checkout: Checkout) -> dict[str, str]:
        """What the snapshot holds: path to text."""
        place = self.site.home / new_id("run", SystemClock())
        archive = await self.site.blobs.path(checkout.digest)

        def read() -> dict[str, str]:
            unpack(archive, place)
            return {
                path.relative_to(place).as_posix(): path.read_text(encoding="utf-8")
                for path in place.rglob("*")
                if path.is_file()
            }

        return await asyncio.to_thread(read)


@pytest_asyncio.fixture
async def fetcher(tmp_path: Path) -> AsyncIterator[Fetcher]:
    yield Fetcher(await Site.open(tmp_path / "home"))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "hosted" / "app")
    made.commit("First things first", **{"main.py": "print(1)\n"})
    return made


@pytest.fixture
def host(tmp_path: Path, repository: Repository) -> Iterator[GitHost]:
    made = GitHost(tmp_path / "hosted")
    yield made
    made.close()


async def test_a_branch_a_tag_and_any_commit_are_fetched_without_the_repository_itself(
    fetcher: Fetcher, repository: Repository, host: GitHost
) -> None:
    first = git(repository.folder, "rev-parse", "HEAD")
    git(repository.folder, "tag", "--annotate", "--message", "one", "v1")
    second = repository.commit("Second", **{"main.py": "print(2)\n"})
    git(repository.folder, "checkout", "--quiet", "-b", "side/one")
    third = repository.commit("Third", **{"lib__deep.py": "x = 1\n"})
    git(repository.folder, "checkout", "--quiet", "main")
    url = host.url("app")
    wanted = {"": second, "main": second, "v1": first, "side/one": third, first: first, first[:9]: first}
    for ref, commit in wanted.items():
        assert (await fetcher.fetch(GitWish(url, ref))).commit.sha == commit, ref
    found = await fetcher.fetch(GitWish(url, "refs/heads/side/one"))
    assert (found.commit.message, found.commit.author) == ("Third", "Ada")
    assert await fetcher.files(found) == {"main.py": "print(2)\n", "lib/deep.py": "x = 1\n"}
    # It is an archive like an upload: the survey of sources, which knows plain Python's formats, reads it.
    surveyed = await asyncio.to_thread(survey_archive, await fetcher.site.blobs.path(found.digest))
    assert surveyed.document()
    # The same commit is the same snapshot, whenever it is fetched.
    assert (await fetcher.fetch(GitWish(url, third))).digest == found.digest
    for unknown in ("nowhere", "abcdef1234"):
        with pytest.raises(BuildFault, match=unknown):
            await fetcher.fetch(GitWish(url, unknown))


async def test_a_commit_that_the_host_does_not_give_by_itself_is_found_in_the_history(
    fetcher: Fetcher, repository: Repository, host: GitHost
) -> None:
    first = git(repository.folder, "rev-parse", "HEAD")
    repository.commit("Second", **{"main.py": "print(2)\n"})
    found = await fetcher.fetch(GitWish(host.url("app"), first[:12]))
    assert found.commit.sha == first
    assert any("fetching the whole history" in line for line in fetcher.site.heard.lines)


async def test_submodules_come_along_beside_and_below_and_large_files_are_told_of(
    fetcher: Fetcher, repository: Repository, host: GitHost, tmp_path: Path
) -> None:
    inner = Repository(tmp_path / "hosted" / "inner")
    inner.commit("Inner", **{"inner.txt": "in\n"})
    shared = Repository(tmp_path / "hosted" / "shared")
    git(shared.folder, "submodule", "--quiet", "add", host.url("inner"), "inner")
    shared.commit("Shared", **{"shared.txt": "all\n"})
    git(repository.folder, "submodule", "--quiet", "add", host.url("shared"), "vendor/shared")
    git(repository.folder, "config", "--file", ".gitmodules", "submodule.vendor/shared.url", "../shared")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
    repository.commit("With both", **{"big.bin": pointer})
    files = await fetcher.files(await fetcher.fetch(GitWish(host.url("app"), "main")))
    assert files["vendor/shared/shared.txt"] == "all\n"
    assert files["vendor/shared/inner/inner.txt"] == "in\n"
    assert not any(".git/" in path or path.endswith(".git") for path in files)
    assert any("pointer of Git LFS (big.bin)" in line for line in fetcher.site.heard.lines)


@pytest.mark.parametrize(
    ("url", "path", "why"),
    [
        ("file:///etc", "taken", "reached by https or ssh"),
        ("http://169.254.169.254/latest", "taken", "private network"),
        ("--upload-pack=touch", "taken", "no address|no path|reached by"),
        ("https://127.0.0.1/x", "../taken", "outside"),
    ],
)
async def test_a_submodule_leads_neither_out_of_the_tree_nor_to_a_forbidden_place(
    url: str, path: str, why: str, fetcher: Fetcher, repository: Repository, host: GitHost
) -> None:
    commit = git(repository.folder, "rev-parse", "HEAD")
    (repository.folder / ".gitmodules").write_text(f'[submodule "evil"]\n\tpath = {path}\n\turl = {url}\n')
    git(repository.folder, "add", ".gitmodules")
    git(repository.folder, "update-index", "--add", "--cacheinfo", f"160000,{commit},taken")
    git(repository.folder, "commit", "--quiet", "--message", "A submodule")
    with pytest.raises(BuildFault, match=why):
        await fetcher.fetch(GitWish(host.url("app"), "main"))


async def test_hosts_inside_are_reached_only_when_the_operator_allows_them(
    fetcher: Fetcher, host: GitHost, repository: Repository
) -> None:
    fetcher.remotes = Remotes(("http", "https", "ssh"), NOTHING)
    for url in (host.url("app"), host.url("app", "localhost"), host.url("app", "2130706433")):
        with pytest.raises(BuildFault, match="private network"):
            await fetcher.fetch(GitWish(url, "main"))
    assert host.seen == []
    fetcher.remotes = Remotes(("https", "ssh"), HERE)
    with pytest.raises(BuildFault, match="https and ssh"):
        await fetcher.fetch(GitWish(host.url("app"), "main"))
    fetcher.remotes = Remotes(("http",), parse_allowance("localhost"))
    assert (await fetcher.fetch(GitWish(host.url("app", "localhost"), "main"))).commit.author == "Ada"


async def test_what_was_checked_is_what_is_connected_to(
    fetcher: Fetcher, host: GitHost, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name leads nowhere by itself: only the address that was looked at can have been used."""

    async def told(name: str, _port: int, _allowance: Allowance) -> list[str]:
        assert name == "moves.invalid"
        return ["127.0.0.1"]

    monkeypatch.setattr("services.build.adapters.remotes.resolve", told)
    assert (await fetcher.fetch(GitWish(host.url("app", "moves.invalid"), "main"))).commit.author == "Ada"
    pair = make_deploy_key("lightrail")
    server = SshHost(tmp_path / "sshd", pair.public)
    with server.running():
        url = f"ssh://root@moves.invalid:{server.port}{repository.folder}"
        found = await fetcher.fetch(GitWish(url, "main"), SourceSecrets(private_key=pair.private))
        assert [line.split()[0] for line in found.host_keys] == [f"[moves.invalid]:{server.port}"]


async def test_redirects_are_not_followed(fetcher: Fetcher, host: GitHost, tmp_path: Path) -> None:
    other = GitHost(tmp_path / "hosted")
    try:
        host.handler.redirect = other.url("").rstrip("/")
        with pytest.raises(BuildFault, match="redirects are not followed"):
            await fetcher.fetch(GitWish(host.url("app"), "main"))
        assert other.seen == []
    finally:
        other.close()


async def test_https_is_checked_and_a_password_goes_to_its_own_host_alone(
    fetcher: Fetcher, host: GitHost, tmp_path: Path, repository: Repository
) -> None:
    authority = tmp_path / "ca.pem"
    secure = GitHost(tmp_path / "hosted", authority=authority)
    try:
        secrets = SourceSecrets(secure.url("app"), "ada", Secret("pass-word"))
        secure.handler.authorization = "Basic YWRhOnBhc3Mtd29yZA=="
        with pytest.raises(BuildFault, match="certificate"):
            await fetcher.fetch(GitWish(secure.url("app"), "main"), secrets)
        fetcher.remotes = Remotes(("http", "https"), HERE, authority)
        with pytest.raises(BuildFault, match="not open to everyone"):
            await fetcher.fetch(GitWish(secure.url("app"), "main"))
        wrong = SourceSecrets(secure.url("app"), "ada", Secret("wrong"))
        with pytest.raises(BuildFault, match="does not accept the user name and the token"):
            await fetcher.fetch(GitWish(secure.url("app"), "main"), wrong)
        assert (await fetcher.fetch(GitWish(secure.url("app"), "main"), secrets)).commit.author == "Ada"
        await fetcher.fetch(GitWish(host.url("app"), "main"), secrets)
        assert {shown for _, shown in host.seen} == {""}
    finally:
        secure.close()


async def test_changed_files_are_told_when_the_live_commit_can_be_had(
    fetcher: Fetcher, repository: Repository, host: GitHost
) -> None:
    first = git(repository.folder, "rev-parse", "HEAD")
    repository.commit("More", **{"docs__a.md": "a", "main.py": "print(3)\n"})
    watched = SourceSecrets(watch_paths=("docs/",))
    found = await fetcher.fetch(GitWish(host.url("app"), "main", base_commit=first), watched)
    assert set(found.changed or ()) == {"docs/a.md", "main.py"}
    unknown = await fetcher.fetch(GitWish(host.url("app"), "main", base_commit="a" * 40), watched)
    assert unknown.changed is None


async def test_what_is_larger_than_a_source_may_be_is_not_fetched(
    fetcher: Fetcher, repository: Repository, host: GitHost
) -> None:
    repository.commit("Large", **{"data.txt": "x" * 3_000_000})
    fetcher.limit = 1_000_000 // 4
    with pytest.raises(BuildFault, match="more than"):
        await fetcher.fetch(GitWish(host.url("app"), "main"))


async def test_ssh_uses_the_services_key_and_trusts_a_host_on_first_use_only(
    fetcher: Fetcher, repository: Repository, tmp_path: Path
) -> None:
    pair = make_deploy_key("lightrail")
    server = SshHost(tmp_path / "sshd", pair.public)
    url = f"ssh://root@127.0.0.1:{server.port}{repository.folder}"
    with pytest.raises(BuildFault, match="no deploy key"):
        await fetcher.fetch(GitWish(url, "main"))
    with server.running():
        with pytest.raises(BuildFault, match="does not accept this service's deploy key"):
            await fetcher.fetch(GitWish(url, "main"), SourceSecrets(private_key=make_deploy_key("other").private))
        found = await fetcher.fetch(GitWish(url, "main"), SourceSecrets(private_key=pair.private))
        assert found.commit.message == "First things first"
        assert [line.split()[0] for line in found.host_keys] == [f"[127.0.0.1]:{server.port}"]
        known = SourceSecrets(private_key=pair.private, known_hosts=found.host_keys)
        assert (await fetcher.fetch(GitWish(url, "main"), known)).host_keys == ()
    server.new_host_key()
    with server.running(), pytest.raises(BuildFault, match="another key than the one it showed"):
        await fetcher.fetch(GitWish(url, "main"), known)
