"""Every verb takes `--json`, and what it prints then is JSON: what it did, or why it did not.

The verbs are those that the command line itself has: one that is added tomorrow needs a row tomorrow.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from libs.cli.main import build, main
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.world import EMAIL, LIVE, PASSWORD

DEPLOYMENT = "the first deployment"
# Exit code, verb, arguments; in the order a person may use them. A verb that fails here says why as JSON.
ROWS: tuple[tuple[int, str, tuple[str, ...]], ...] = (
    (0, "login", ("--email", EMAIL, "--password-stdin")),
    (0, "whoami", ()),
    (0, "init", ("--name", "shop")),
    (0, "list", ()),
    (0, "settings", ()),
    (0, "up", ("--new", "web", "--detach")),
    (0, "link", ("--project", "shop", "--service", "web")),
    (0, "status", ()),
    (0, "open", ()),
    (0, "deployments", ()),
    (0, "redeploy", (DEPLOYMENT, "--detach")),
    (0, "rollback", (DEPLOYMENT, "--detach")),
    (0, "logs", (DEPLOYMENT, "--build")),
    (0, "run", ()),
    (0, "usage", ()),
    (0, "completion", ("bash",)),
    (0, "variables set", ("A=1",)),
    (0, "variables list", ()),
    (0, "variables delete", ("A",)),
    (0, "service set", ("--replicas", "2")),
    (0, "service show", ()),
    (0, "source set", ("--git", "https://git.example/shop.git")),
    (0, "source show", ()),
    (0, "source key", ()),
    (0, "source trust", ()),
    (0, "source deploy", ("--detach",)),
    (0, "source clear", ()),
    (0, "build plan", ()),
    (0, "build status", (DEPLOYMENT,)),
    (0, "build cache list", ()),
    (0, "build cache clear", ()),
    (0, "build sbom", (DEPLOYMENT,)),
    (1, "build scan", (DEPLOYMENT,)),
    (1, "build verify", ()),
    (0, "config check", ()),
    (0, "tokens create", ("ci",)),
    (0, "tokens list", ()),
    (0, "tokens revoke", ("ci",)),
    (0, "platform trace", (DEPLOYMENT,)),
    (0, "platform collect", ()),
    (0, "platform deadletters list", ()),
    (1, "platform deadletters replay", ("fct_none",)),
    (0, "platform reset", ("--yes",)),
    (0, "platform stack list", ()),
    (1, "platform stack build", ()),
    (1, "platform up", ("--topology", "mesh")),
    (1, "platform status", ()),
    (1, "platform logs", ()),
    (0, "platform down", ()),
    (0, "down", ("--yes",)),
    (0, "logout", ()),
)  # fmt: skip
# What no verb takes; `run` would take it for the command.
WRONG = {"run": ("--service",)}

# Their exit code is what they found, not that they failed.
FINDS = {"build scan", "platform status"}


def verbs(app: App, *before: str) -> Iterator[str]:
    for name in app:
        if not name.startswith("-"):
            if app[name].default_command is not None:
                yield " ".join((*before, name))
            yield from verbs(app[name], *before, name)


def values(out: str) -> list[Any]:
    """One value, or a value a line."""
    try:
        return [json.loads(out)]
    except ValueError:
        return [json.loads(line) for line in out.splitlines()]


def test_every_verb_has_a_row() -> None:
    assert sorted(verb for _, verb, _ in ROWS) == sorted(verbs(build()))


@pytest.mark.parametrize("verb", [verb for _, verb, _ in ROWS])
def test_wrong_words_are_json_too(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert main([*verb.split(), "--json", *WRONG.get(verb, ("--nonsense",))]) == 2
    out, err = capsys.readouterr()
    [told] = values(out)
    assert told["error"]["kind"] == "invalid"
    assert told["error"]["message"]
    assert err == ""


async def test_every_verb_speaks_json(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "index.html").write_text("hello\n", encoding="utf-8")
    monkeypatch.chdir(directory)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    # Without its tools no stack is made, and no browser is opened.
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, value in (("API", gateway.url), ("CONFIG_DIR", tmp_path / "config"), ("HOME", tmp_path / "platform")):
        monkeypatch.setenv(f"LIGHTRAIL_{name}", str(value))
    for expected, verb, arguments in ROWS:
        for known in gateway.world.deployments:
            gateway.world.build_lines.setdefault(known, ["installed"])
            await gateway.world.moves(known, LIVE)
        deployment = next(iter(gateway.world.deployments), "")
        given = [deployment if word == DEPLOYMENT else word for word in arguments]
        capsys.readouterr()
        code = await asyncio.to_thread(main, [*verb.split(), *given, "--json"])
        out = capsys.readouterr().out
        assert code == expected, f"{verb}: {out}"
        told = values(out)
        assert told, verb
        assert all(isinstance(value, dict | list) for value in told), verb
        assert any("error" in value for value in told) is (bool(expected) and verb not in FINDS), verb
