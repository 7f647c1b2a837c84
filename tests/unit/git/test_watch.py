from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.git.watch import checked, touched
from libs.kernel.errors import Invalid

NAMES = st.sampled_from(["a", "b", "src", "docs", "a.py", "b.md"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PARTS = st.sampled_from(["a", "b", "src", "docs", "*", "**", "*.py", "?.md", "a*", "[ab]"])
PATTERNS = st.builds(
    lambda no, top, parts, folder: f"{no}{top}{'/'.join(parts)}{folder}",
    st.sampled_from(["", "", "", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
).filter(
    lambda pattern: not pattern.endswith("**/")
)  # the library takes a last `**/` for `**`: files, not only folders
QUIET = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, env=QUIET, check=True)
    return folder


def judged_by_git(folder: Path, patterns: list[str], path: str) -> bool:
    """What the last pattern says that git matches to the path; nothing is on the disk: folders are those above it."""
    verdict = False
    for pattern in patterns:
        (folder / ".git" / "info" / "exclude").write_text(pattern.removeprefix("!") + "\n", encoding="utf-8")
        command = ["git", "check-ignore", "--quiet", "--no-index", "--", path]
        if subprocess.run(command, cwd=folder, env=QUIET, check=False).returncode == 0:
            verdict = not pattern.startswith("!")
    return verdict


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(patterns=st.lists(PATTERNS, min_size=1, max_size=4), path=PATHS)
def test_a_path_is_watched_when_the_last_pattern_git_would_match_names_it(
    repository: Path, patterns: list[str], path: str
) -> None:
    assert touched(patterns, [path]) == judged_by_git(repository, patterns, path)


def test_without_patterns_everything_is_watched_and_nothing_changed_touches_nothing() -> None:
    assert touched((), ["a"])
    assert touched((), [])
    assert not touched(("src/",), [])
    assert touched(("src/", "!src/docs/"), ["README", "src/a"])
    assert not touched(("src/", "!src/docs/"), ["src/docs/a"])


def test_patterns_are_limited_and_those_that_are_none_are_refused() -> None:
    assert checked([" src/ ", "", "  "]) == ("src/",)
    for wrong in (["a"] * 101, ["a" * 501], ["a\nb"]):
        with pytest.raises(Invalid):
            checked(wrong)
