"""Elixir with mix: releases, Phoenix."""

from __future__ import annotations

import re
from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.faults import BuildFault
from libs.plans.pins import pinned
from libs.plans.plan import BuildPlan, Evidence, PlanSettings, Step
from libs.plans.start import Start
from libs.plans.tree import Tree

NAME: Final = "elixir"
LOOKS_FOR: Final = "mix.exs"
DEFAULT: Final = "1.18"
DEFAULT_ERLANG: Final = "27"


def detects(tree: Tree) -> Evidence | None:
    """A mix.exs."""
    return Evidence(NAME, ("mix.exs",)) if tree.has("mix.exs") else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Makes a release with mix, and starts it."""
    mix = tree.read("mix.exs")
    name = re.search(r"\bapp:\s*:(\w+)", mix)
    if name is None:
        raise BuildFault("mix.exs names no application.", hint="Add “app: :your_name” to its project function.")
    aliases = [one for one in ("assets.deploy", "ecto.deploy") if f'"{one}"' in mix]
    draft = Draft(
        provider=NAME,
        evidence=("mix.exs", *(("mix.lock",) if tree.has("mix.lock") else ())),
        runtime=pinned(tree, "elixir", ".elixir-version", default=DEFAULT, manifest=_version(mix)),
        found=lambda: Start(f"_build/prod/rel/{name[1]}/bin/{name[1]} start", "the release that mix makes", "web"),
        looked_for="the application in mix.exs",
        install=Step(
            "install",
            (
                ("mix", "local.hex", "--force"), ("mix", "local.rebar", "--force"),
                ("mix", "deps.get", "--only", "prod"), ("mix", "deps.compile"),
                *((("mix", "assets.setup"),) if '"assets.setup"' in mix else ()),
            ),
            caches=("hex",),
        ),
        build=Step("build", (("mix", "compile"), *(("mix", one) for one in aliases), ("mix", "release"))),
        framework="phoenix" if re.search(r"\{:phoenix,", mix) else "",
        environment={"MIX_ENV": "prod", "LANG": "C.UTF-8", "ELIXIR_ERL_OPTIONS": "+fnu"},
        tools=(pinned(tree, "erlang", ".erlang-version", default=DEFAULT_ERLANG),),
        warnings=() if tree.has("mix.lock") else ("There is no mix.lock: versions may differ between builds.",),
    )  # fmt: skip
    return assemble(tree, settings, draft)


def _version(mix: str) -> tuple[str, str]:
    asked = re.search(r"\belixir:\s*\"[^\"\d]*(\d+(?:\.\d+)*)", mix)
    return (asked[1], "mix.exs") if asked else ("", "")
