"""Ruby with Bundler: Rails, Rack applications, plain programs."""

from __future__ import annotations

import re
from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.pins import pinned
from libs.plans.plan import EVERYTHING, LISTEN, BuildPlan, Evidence, PlanSettings, Step
from libs.plans.start import Start
from libs.plans.tree import Tree

NAME: Final = "ruby"
LOOKS_FOR: Final = "Gemfile"
DEFAULT: Final = "3.4"
BUNDLE: Final = "/app/vendor/bundle"
_RAILS: Final = {"RAILS_ENV": "production", "RAILS_LOG_TO_STDOUT": "1", "RAILS_SERVE_STATIC_FILES": "1"}
_QUIET: Final = {"BUNDLE_PATH": BUNDLE, "BUNDLE_WITHOUT": "development:test", "MALLOC_ARENA_MAX": "2"}


def detects(tree: Tree) -> Evidence | None:
    """A Gemfile."""
    return (
        Evidence(NAME, tuple(path for path in ("Gemfile", "Gemfile.lock") if tree.has(path)))
        if tree.has("Gemfile")
        else None
    )


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Installs the bundle, compiles assets where Rails has any, starts the server."""
    lock = tree.read("Gemfile.lock") if tree.has("Gemfile.lock") else ""
    gems = set(re.findall(r"^ {4}([\w-]+) \(", lock, re.MULTILINE)) | _asked(tree)
    rails = "rails" in gems and tree.has("config/application.rb")
    inputs = ("Gemfile", *(path for path in ("Gemfile.lock", ".ruby-version") if tree.has(path)))
    local = re.search(r"\bpath:\s*['\"]|^PATH$", tree.read("Gemfile") + "\n" + lock, re.MULTILINE)
    assets = rails and bool({"sprockets", "sprockets-rails", "propshaft"} & gems) and bool(tree.within("app/assets"))
    draft = Draft(
        provider=NAME,
        evidence=inputs[:2],
        runtime=pinned(tree, "ruby", ".ruby-version", default=DEFAULT, manifest=_version(tree, lock)),
        found=lambda: _found(tree, rails=rails),
        looked_for="a Rails application, config.ru, a Rakefile",
        install=Step(
            "install", (("bundle", "install"),), inputs=EVERYTHING if local else inputs, output=BUNDLE,
            caches=("gems",),
        ),
        build=Step("build", (("bundle", "exec", "rake", "assets:precompile"),) if assets else (), changes=(BUNDLE,)),
        framework="rails" if rails else next((one for one in ("sinatra", "hanami", "roda") if one in gems), ""),
        environment=_QUIET | (_RAILS if rails else {}),
        warnings=() if lock else ("There is no Gemfile.lock: versions may differ from one build to the next.",),
    )  # fmt: skip
    return assemble(tree, settings, draft)


def _asked(tree: Tree) -> set[str]:
    return set(re.findall(r"^\s*gem\s+['\"]([\w-]+)['\"]", tree.read("Gemfile"), re.MULTILINE))


def _found(tree: Tree, *, rails: bool) -> Start | None:
    if rails:
        program = "bin/rails" if tree.has("bin/rails") else "rails"
        return Start(f"bundle exec {program} server -b {LISTEN} -p $PORT -e $RAILS_ENV", "Rails", "web", "rails")
    if tree.has("config.ru"):
        return Start(f"bundle exec rackup config.ru -o {LISTEN} -p $PORT", "config.ru", "web")
    if tree.has("Rakefile"):
        return Start("bundle exec rake", "Rakefile", "web")
    entry = tree.first("app.rb", "main.rb", "server.rb", "bot.rb")
    return Start(f"bundle exec ruby {entry}", entry, "web") if entry else None


def _version(tree: Tree, lock: str) -> tuple[str, str]:
    asked = re.search(r"^\s*ruby\s+['\"]([^'\"]*\d[^'\"]*)['\"]", tree.read("Gemfile"), re.MULTILINE)
    if asked:
        return asked[1], "Gemfile"
    locked = re.search(r"^RUBY VERSION\s+ruby (\d+\.\d+\.\d+)", lock, re.MULTILINE)
    return (locked[1], "Gemfile.lock") if locked else ("", "")
