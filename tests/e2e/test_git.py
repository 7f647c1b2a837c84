"""A person deploys from git: from a repository elsewhere, and by pushing to the platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.application import Application, copy_of
from tests.integration.build.githost import GitHost, Repository, git

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
