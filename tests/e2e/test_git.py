"""A person deploys from git: from a repository elsewhere, and by pushing to the platform."""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from libs.testing.eventually import eventually
from tests.e2e.application import Application, copy_of
from tests.e2e.platform import EMAIL, PASSWORD
from tests.e2e.pusher import Pusher
from tests.integration.build.githost import ENVIRONMENT, GitHost, Repository, git

Make = Callable[..., Awaitable[Application]]


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[tuple[Repository, GitHost]]:
    repository = Repository(tmp_path / "hosted" / "shop")
    copy_of("static-site", repository.folder)
    repository.commit("A shop")
    host = GitHost(tmp_path / "hosted")
    yield repository, host
    host.close()


async def test_a_repository_is_deployed_its_commit_is_shown_and_a_push_that_changes_nothing_watched_is_skipped(
    application: Make, hosted: tuple[Repository, GitHost]
) -> None:
    repository, host = hosted
    app = await application("static-site")
    await app.settings(root_directory="static-site")
    run = await app.lr("up", "--git", host.url("shop"), "--ref", "main", check=False)
    assert run.code == 0, run.text
    first = git(repository.folder, "rev-parse", "HEAD")
    live = (await app.deployments())[0]
    assert (live["trigger"], live["git"]["commit"], live["git"]["message"]) == ("git", first, "A shop")
    assert live["snapshot_id"]
    listed = (await app.lr("deployments")).out
    assert f"{first[:7]} A shop (Ada)" in listed

    await app.lr("source", "set", "--git", host.url("shop"), "--branch", "main", "--watch", "static-site/")
    repository.commit("Words for people", README="read me")
    skipped = await app.lr("source", "deploy", check=False)
    assert "none is watched" in skipped.text
    assert [one["state"] for one in await app.deployments()] == ["skipped", "active"]
    # The same source, without the repository: it was kept.
    host.handler.redirect = "http://127.0.0.1:9"
    await app.lr("redeploy", live["id"])
    newest = (await app.deployments())[0]
    assert (newest["state"], newest["snapshot_id"]) == ("active", live["snapshot_id"])


@pytest.fixture
async def pusher(application: Make, tmp_path: Path) -> Pusher:
    app = await application("static-site")
    made = Pusher(app, tmp_path / "mine")
    (made.repository.folder / "index.html").write_text("<h1>One</h1>", encoding="utf-8")
    made.repository.commit("One")
    return made


async def test_a_push_is_built_and_live_and_a_failing_one_leaves_branch_and_service_as_they_were(
    pusher: Pusher, tmp_path: Path
) -> None:
    app, repository = pusher.app, pusher.repository
    # Larger than what git sends in one piece.
    (repository.folder / "film.bin").write_bytes(os.urandom(2_000_000))
    repository.commit("One")
    code, said = await pusher.git("push", "lightrail", "main")
    assert code == 0, said
    assert f"remote: Live: http://{app.host}:{app.platform.port}" in said
    assert "remote:   start command" in said
    assert "One" in await app.text()
    live = (await app.deployments())[0]
    assert (live["trigger"], live["git"]["ref"], live["git"]["url"]) == ("push", "main", None)
    assert live["git"]["commit"] == git(repository.folder, "rev-parse", "HEAD")

    (repository.folder / "package.json").write_text("{ broken", encoding="utf-8")
    repository.commit("Two")
    code, said = await pusher.git("push", "lightrail", "main")
    assert code != 0, said
    assert "the build failed" in said
    assert "package.json" in said
    assert "One" in await app.text()

    git(repository.folder, "rm", "--quiet", "package.json")
    (repository.folder / "index.html").write_text("<h1>Three</h1>", encoding="utf-8")
    repository.commit("Three")
    code, said = await pusher.git("push", "lightrail", "main")
    assert code == 0, said
    assert "Three" in await app.text()
    code, said = await pusher.git("push", "lightrail", "main:side", "HEAD:refs/tags/v1")
    assert code == 0, said
    assert "side is not deployed: main is" in said
    assert len(await app.deployments()) == 3

    await app.lr("source", "set", "--watch", "*.html")
    repository.commit("Four", **{"notes.txt": "words"})
    code, said = await pusher.git("push", "lightrail", "main")
    assert code == 0, said
    assert "1 file changed" in said
    assert [one["state"] for one in await app.deployments()][:2] == ["skipped", "active"]

    clone = tmp_path / "clone"
    code, said = await pusher.git("clone", "--quiet", pusher.url, str(clone))
    assert code == 0, said
    assert git(clone, "log", "-1", "--format=%s") == "Four"
    assert {"origin/main", "origin/side"} <= set(git(clone, "branch", "--remotes", "--format=%(refname:short)").split())


async def test_the_door_for_git_asks_for_a_password_and_shows_nobody_what_is_anothers(pusher: Pusher) -> None:
    app = pusher.app
    path = f"/git/{app.project['name']}/{app.service['name']}.git/info/refs?service=git-receive-pack"
    asked = await app.platform.request("GET", path, token="")
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    wrong = {"Authorization": "Basic " + base64.b64encode(b"any:lr_" + b"x" * 43).decode()}
    refused = await app.platform.request("GET", path, token="", headers=wrong)
    assert refused.status_code == 401
    assert refused.headers["content-type"].startswith("text/plain")
    stranger = Pusher(app, pusher.repository.folder.parent / "theirs", await app.platform.user(f"{app.name}@a.test"))
    code, said = await stranger.git("ls-remote", "lightrail")
    assert code != 0
    assert "There is no project" in said
    # E-mail and password, as a person who has no token.
    url = pusher.url.replace(f"any:{app.platform.token}", f"{quote(EMAIL)}:{quote(PASSWORD)}")
    code, said = await pusher.git("ls-remote", url)
    assert code == 0, said
    # A name that is none, and no token: git asks again, and forgets what it has kept.
    code, said = await pusher.git("ls-remote", pusher.url.replace(f"any:{app.platform.token}", "bob:wrong"))
    assert code != 0
    assert "any name and an API token" in said
    assert "Authentication failed" in said
    # What a client packs is unpacked, as far as a request may go.
    packed = path.replace("info/refs?service=git-receive-pack", "git-upload-pack")
    head = {"Authorization": "Basic " + base64.b64encode(f"any:{app.platform.token}".encode()).decode()}
    head["Content-Encoding"] = "gzip"
    for content, status in ((b"0000", 200), (bytes(30_000_000), 429), (None, 422)):
        sent = b"no gzip" if content is None else gzip.compress(content)
        answer = await app.platform.request("POST", packed, token="", headers=head, content=sent)
        assert answer.status_code == status


async def test_a_refused_push_says_why_and_other_branches_are_the_pushers_own(pusher: Pusher, tmp_path: Path) -> None:
    folder = pusher.repository.folder
    blob = git(folder, "hash-object", "-w", "index.html")
    evil = git(folder, "commit-tree", git(folder, "mktree", stdin=f"100644 blob {blob}\t.git\n"), "-m", "evil")
    code, said = await pusher.git("push", "lightrail", f"{evil}:refs/heads/main")
    assert code != 0
    assert "remote: What was pushed cannot be kept" in said
    code, said = await pusher.git("push", "lightrail", "main:side", "main:other")
    assert code == 0, said
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", folder.as_uri(), str(shallow))
    pusher.repository.folder = shallow
    pusher.repository.commit("From a shallow clone", **{"notes.txt": "words"})
    code, said = await pusher.git("push", pusher.url, "main:side", ":other")
    assert "side is not deployed: main is" in said
    _, said = await pusher.git("ls-remote", pusher.url, "refs/*")
    assert said.split() == [git(shallow, "rev-parse", "HEAD"), "refs/heads/side"]


async def test_a_pusher_who_leaves_changes_nothing(pusher: Pusher) -> None:
    process = await asyncio.create_subprocess_exec(
        "git", "push", "lightrail", "main", cwd=pusher.repository.folder, env=ENVIRONMENT,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    while b"Deploying" not in (line := await process.stderr.readline()):
        assert line, "git ended before the deployment was asked for"
    process.kill()
    await process.communicate()
    await pusher.app.becomes("active")

    async def moved() -> None:
        _, said = await pusher.git("ls-remote", "lightrail", "refs/heads/main")
        assert git(pusher.repository.folder, "rev-parse", "HEAD") in said

    await eventually(moved, within=20)
