"""PHP: Composer projects, Laravel, plain index.php."""

from __future__ import annotations

import re
from typing import Any, Final

from libs.plans.assemble import Draft, assemble
from libs.plans.pins import pinned
from libs.plans.plan import EVERYTHING, BuildPlan, Evidence, PlanSettings, Step
from libs.plans.providers import node
from libs.plans.start import Start
from libs.plans.tree import Tree
from libs.plans.values import rows

NAME: Final = "php"
LOOKS_FOR: Final = "composer.json, index.php"
DEFAULT: Final = "8.4"
VENDOR: Final = "/app/vendor"


def detects(tree: Tree) -> Evidence | None:
    """A composer.json, or an index.php."""
    found = tuple(path for path in ("composer.json", "composer.lock", "artisan", "index.php") if tree.has(path))
    return Evidence(NAME, found) if tree.has("composer.json", "index.php") else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Installs packages, builds a front end that lies beside, serves the public folder."""
    evidence = detects(tree)
    project: dict[str, Any] = tree.json("composer.json") if tree.has("composer.json") else {}
    laravel = tree.has("artisan")
    symfony = tree.has("bin/console", "symfony.lock")
    root = "public" if laravel or tree.has("public/index.php") else "."
    front = node.front_end(tree) if tree.has("package.json") else None
    commands = [*(front.commands if front else ())]
    if laravel:
        commands += [("php", "artisan", one) for one in ("config:cache", "event:cache", "route:cache", "view:cache")]
    argv = ("composer", "install", "--optimize-autoloader", "--no-dev", "--no-scripts", "--no-interaction")
    inputs = tuple(path for path in ("composer.json", "composer.lock") if tree.has(path))
    local = any("path" in str(one) for one in rows(project, "repositories"))
    draft = Draft(
        provider=NAME,
        evidence=evidence.files if evidence else (),
        runtime=pinned(tree, "php", ".php-version", default=DEFAULT, manifest=_version(project)),
        # FrankenPHP, as in Laravel's own images: one program that serves and runs.
        found=lambda: Start(f"frankenphp php-server --listen :$PORT --root {root}", "PHP files", "web"),
        looked_for="index.php, public/index.php",
        install=Step("install", (argv,), EVERYTHING if local else inputs, output=VENDOR, caches=("composer",))
        if project
        else None,
        build=Step("build", tuple(commands), changes=(VENDOR,), caches=("composer", *(front.caches if front else ()))),
        framework="laravel" if laravel else "symfony" if symfony else "",
        environment={"APP_ENV": "production"} if laravel else {},
        path=front.path if front else (),
        tools=front.tools if front else (),
    )
    return assemble(tree, settings, draft)


def _version(project: dict[str, Any]) -> tuple[str, str]:
    require = project.get("require")
    wanted = require.get("php") if isinstance(require, dict) else None
    found = re.search(r"\d+(?:\.\d+)*", wanted) if isinstance(wanted, str) else None
    return (found[0], "composer.json (require.php)") if found else ("", "")
