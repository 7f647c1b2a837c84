"""Python applications, with uv, Poetry, PDM, Pipenv, pip or nothing at all."""

from __future__ import annotations

import re
from typing import Any, Final

from libs.plans.assemble import Draft, assemble
from libs.plans.faults import BuildFault
from libs.plans.pins import pinned, plain_version
from libs.plans.plan import APP, EVERYTHING, RUNTIME, BuildPlan, Evidence, PlanSettings, Runtime, Step
from libs.plans.pythonic.frameworks import SCRIPTS, find_start
from libs.plans.pythonic.locks import pdm_requirements, pipenv_requirements, pipfile_requirements
from libs.plans.pythonic.poetry import poetry_requirements
from libs.plans.pythonic.requirements import Requirements, read_lock, read_project, read_requirements
from libs.plans.reading import Reading
from libs.plans.start import Start
from libs.plans.tree import Tree
from libs.plans.values import table

NAME = "python"
LOOKS_FOR = (
    "requirements.txt, pyproject.toml, uv.lock, poetry.lock, pdm.lock, Pipfile, setup.py, manage.py, main.py, app.py"
)
VENV: Final = f"{APP}/.venv"
STRONG: Final = (
    "requirements.txt", "pyproject.toml", "uv.lock", "poetry.lock", "pdm.lock", "setup.py", "manage.py", "Pipfile",
    *SCRIPTS,
)  # fmt: skip
_LOCKS: Final = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")
# A lone script means nothing beside these.
_OTHERS: Final = (
    "package.json", "index.html", "start.sh", "deno.json", "deno.jsonc", "Staticfile", "CMakeLists.txt", "meson.build",
    "gleam.toml",
)  # fmt: skip
GENERATED: Final = ".lightrail/requirements.txt"
_MAKE_VENV: Final = ("uv", "venv", "--allow-existing", "--python", RUNTIME, VENV)


def detects(tree: Tree) -> Evidence | None:
    """A file that Python projects have, or at least one script where nothing else is."""
    found = tuple(path for path in STRONG if tree.has(path))
    if not found and not tree.has(*_OTHERS):
        found = tuple(tree.ending(".py", depth=0)[:1])
    return Evidence(NAME, found) if found else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Installs the requirements with uv into /app/.venv and starts what is found."""
    evidence = detects(tree)
    asked = Requirements()
    project = tree.toml("pyproject.toml") if tree.has("pyproject.toml") else {}
    install = _install(tree, project, asked)
    draft = Draft(
        provider=NAME,
        evidence=evidence.files if evidence else (),
        runtime=_runtime(tree, project),
        found=lambda: find_start(tree, asked) or _own_command(project),
        looked_for="a Django project, a FastAPI, Flask or Streamlit application, " + ", ".join(SCRIPTS[:2]),
        install=install,
        build=Step("build", (), changes=(VENV,), caches=("uv",)),
        environment={"PYTHONUNBUFFERED": "1", "VIRTUAL_ENV": VENV},
        path=(f"{VENV}/bin",),
        warnings=_warnings(tree, project),
    )
    return assemble(tree, settings, draft)


def _install(tree: Tree, project: dict[str, Any], asked: Requirements) -> Step:
    """The one way of installing that this project's files ask for: a lock before requirements before pyproject."""
    locks = [path for path in _LOCKS if tree.has(path)]
    if len(locks) > 1:
        raise BuildFault(
            f"There are {len(locks)} lock files that contradict each other: {', '.join(locks)}.",
            hint="Delete all but one.",
        )
    return _from_lock(tree, project, asked, locks[0]) if locks else _from_wishes(tree, project, asked)


def _from_lock(tree: Tree, project: dict[str, Any], asked: Requirements, lock: str) -> Step:
    if lock == "uv.lock":
        return _from_uv(tree, project, asked)
    if lock == "poetry.lock":
        return _from_poetry(tree, project, asked)
    if lock == "pdm.lock":
        read_project(project, asked)
        return _generated(pdm_requirements(tree.toml(lock)), asked, ("pyproject.toml", lock), tree)
    return _generated(pipenv_requirements(tree.json(lock)), asked, ("Pipfile", lock), tree)


def _from_wishes(tree: Tree, project: dict[str, Any], asked: Requirements) -> Step:
    if tree.has("requirements.txt"):
        read_requirements(tree, "requirements.txt", asked)
        return _step(("uv", "pip", "install", "--requirement", "requirements.txt"), asked, tuple(asked.files))
    if _poetry(project) and not project.get("project"):
        raise BuildFault(
            "pyproject.toml is Poetry's, but poetry.lock is not in the upload.",
            hint="Run “poetry lock”, or check that no ignore file leaves it out.",
        )
    if project.get("project") or project.get("build-system"):
        return _from_project(project, asked)
    if tree.has("setup.py"):
        asked.local = True
        return _step(("uv", "pip", "install", "--editable", "."), asked, ())
    if tree.has("Pipfile"):
        return _generated(pipfile_requirements(tree.toml("Pipfile")), asked, ("Pipfile",), tree)
    # No requirements: an environment all the same, so that “python” is there under that name.
    return Step("install", (_MAKE_VENV,), inputs=(), output=VENV, caches=("uv",))


def _from_uv(tree: Tree, project: dict[str, Any], asked: Requirements) -> Step:
    if not tree.has("pyproject.toml"):
        raise BuildFault("There is a uv.lock, but no pyproject.toml beside it.")
    read_project(project, asked)
    read_lock(tree.toml("uv.lock"), asked)
    argv: tuple[str, ...] = ("uv", "sync", "--frozen", "--no-dev")
    if _is_package(project):
        asked.local = True
    elif not asked.local:
        argv = (*argv, "--no-install-project")
    return _step(argv, asked, ("pyproject.toml", "uv.lock"))


def _from_poetry(tree: Tree, project: dict[str, Any], asked: Requirements) -> Step:
    if not project:
        raise BuildFault("There is a poetry.lock, but no pyproject.toml beside it.")
    lock = tree.toml("poetry.lock")
    read_project(project, asked)
    read_lock(lock, asked)
    commands: list[tuple[str, ...]] = [_MAKE_VENV, ("uv", "pip", "install", "--no-deps", "--requirement", GENERATED)]
    if _is_package(project) and _poetry(project).get("package-mode", True) and _has_package(tree, project):
        asked.local = True
        commands.append(("uv", "pip", "install", "--no-deps", "--editable", "."))
    inputs = EVERYTHING if asked.local else ("pyproject.toml", "poetry.lock")
    files = {GENERATED: poetry_requirements(project, lock)}
    return Step("install", tuple(commands), inputs=inputs, files=files, output=VENV, caches=("uv",))


def _from_project(project: dict[str, Any], asked: Requirements) -> Step:
    read_project(project, asked)
    if project.get("build-system"):
        asked.local = True
        return _step(("uv", "pip", "install", "--editable", "."), asked, ("pyproject.toml",))
    return _step(("uv", "pip", "install", "--requirement", "pyproject.toml"), asked, ("pyproject.toml",))


def _generated(text: str, asked: Requirements, inputs: tuple[str, ...], tree: Tree) -> Step:
    """Installs requirements that were made of another tool's lock."""
    for line in text.splitlines():
        asked.add(line)
    local = asked.local or any(line.startswith(("./", "-e ./", "--editable ./")) for line in text.splitlines())
    commands = (_MAKE_VENV, ("uv", "pip", "install", "--requirement", GENERATED))
    kept = EVERYTHING if local else tuple(path for path in inputs if tree.has(path))
    return Step("install", commands, inputs=kept, files={GENERATED: text}, output=VENV, caches=("uv",))


def _step(argv: tuple[str, ...], asked: Requirements, inputs: tuple[str, ...]) -> Step:
    everything = asked.local or not inputs
    return Step(
        "install",
        (_MAKE_VENV, argv),
        inputs=EVERYTHING if everything else inputs,
        output=VENV,
        caches=("uv",),
    )


def _is_package(project: dict[str, Any]) -> bool:
    said = table(project, "tool", "uv").get("package")
    return bool(project.get("build-system")) if said is None else bool(said)


def _has_package(tree: Tree, project: dict[str, Any]) -> bool:
    """Whether there is a folder that Poetry would make a package of."""
    if _poetry(project).get("packages"):
        return True
    name = table(project, "project").get("name") or _poetry(project).get("name") or ""
    folder = re.sub(r"[-.]+", "_", str(name)).lower()
    return any(bool(tree.within(f"{root}{folder}")) for root in ("", "src/")) or tree.has(f"{folder}.py")


def _poetry(project: dict[str, Any]) -> dict[str, Any]:
    return table(project, "tool", "poetry")


def _own_command(project: dict[str, Any]) -> Start | None:
    """The one command that the project's own package brings along."""
    scripts = table(project, "project", "scripts")
    if not _is_package(project) or len(scripts) != 1:
        return None
    name = next(iter(scripts))
    return Start(str(name), "pyproject.toml (project.scripts)", "web")


def _runtime(tree: Tree, project: dict[str, Any]) -> Runtime:
    """The interpreter that is asked for, and who says so."""
    for name in (".python-version", "runtime.txt"):
        if tree.has(name) and plain_version(tree.read(name)) is None:
            raise BuildFault(f"{name}, line 1: this is no version of Python.", hint="Write it as in 3.12.")
    found = pinned(tree, "python", ".python-version", "runtime.txt", manifest=_manifest(tree, project))
    if found.asked_by in {".python-version", "runtime.txt"}:
        return Runtime("python", ".".join(found.constraint.split(".")[:2]), found.asked_by)
    return found


def _manifest(tree: Tree, project: dict[str, Any]) -> tuple[str, str]:
    if tree.has("Pipfile"):
        pipfile = Reading("Pipfile", tree.read("Pipfile"), tree.toml("Pipfile"))
        keys = ("python_full_version", "python_version")
        version = next(filter(None, (pipfile.version_at(NAME, "requires", key) for key in keys)), "")
        if version:
            return ".".join(version.split(".")[:2]), "Pipfile (requires)"
    if not project:
        return "", ""
    read = Reading("pyproject.toml", tree.read("pyproject.toml"), project)
    required = read.version_at(NAME, "project", "requires-python")
    if required:
        return required, "pyproject.toml (requires-python)"
    path = ("tool", "poetry", "dependencies")
    poetry = table(project, *path).get("python")
    return (read.version_at(NAME, *path, "python") if isinstance(poetry, str) else "", "pyproject.toml (python)")


def _warnings(tree: Tree, project: dict[str, Any]) -> tuple[str, ...]:
    if tree.has("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock") and tree.has("requirements.txt"):
        return ("requirements.txt is not used: there is a lock file.",)
    if project.get("project") and tree.has("requirements.txt"):
        return ("requirements.txt is used; the dependencies in pyproject.toml are not.",)
    return ()
