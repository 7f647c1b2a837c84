"""Finds the application object of a Python web framework by reading the source, never by running it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Final

from libs.plans.faults import BuildFault
from libs.plans.plan import LISTEN
from libs.plans.pythonic.requirements import Requirements
from libs.plans.start import Start
from libs.plans.tree import Tree

HOST_AND_PORT: Final = f"--host {LISTEN} --port $PORT"
BIND: Final = f"--bind {LISTEN}:$PORT"
SCRIPTS: Final = ("main.py", "app.py", "start.py", "server.py", "run.py", "bot.py", "hello.py", "src/main.py")
_FIRST: Final = (
    "main.py", "app.py", "app/main.py", "src/main.py", "api/main.py", "server.py", "asgi.py", "wsgi.py", "api.py",
    "app/__init__.py", "src/app/main.py",
)  # fmt: skip
_FACTORY: Final = ("create_app", "make_app", "get_app", "build_app", "create_application")
_DEPTH: Final = 3
_FILES: Final = 400


@dataclass(frozen=True, slots=True)
class Application:
    """Where the application object is."""

    # Dotted module, seen from `folder`.
    module: str
    name: str
    factory: bool
    # Folder to import from: "" or "src".
    folder: str
    path: str


def find_start(tree: Tree, asked: Requirements) -> Start | None:
    """The start command that the frameworks in use suggest, or a plain script."""
    for found in (_django, _fastapi, _flask, _streamlit):
        start = found(tree, asked)
        if start is not None:
            return start
    script = tree.first(*SCRIPTS)
    return Start(f"python {script}", script, "web") if script else None


def _django(tree: Tree, asked: Requirements) -> Start | None:
    if not tree.has("manage.py") or not (asked.has("django") or "django" in tree.read("manage.py")):
        return None
    wsgi = _entry(tree, "wsgi.py")
    asgi = _entry(tree, "asgi.py")
    if asked.has("gunicorn") and wsgi:
        return Start(f"gunicorn {wsgi} {BIND}", "Django (gunicorn)", "web", "django")
    if asked.has("uvicorn") and asgi:
        return Start(f"uvicorn {asgi}:application {HOST_AND_PORT}", "Django (uvicorn)", "web", "django")
    if asked.has("daphne") and asgi:
        return Start(f"daphne -b {LISTEN} -p $PORT {asgi}:application", "Django (daphne)", "web", "django")
    return Start(f"python manage.py runserver {LISTEN}:$PORT --noreload", "Django (manage.py)", "web", "django")


def _entry(tree: Tree, name: str) -> str | None:
    """The module of the project's wsgi.py or asgi.py: the one its settings name, else the nearest."""
    settings = re.search(r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)['\"]", tree.read("manage.py"))
    if settings:
        package = settings[1].split(".")[0]
        if tree.has(f"{package}/{name}"):
            return f"{package}.{name.removesuffix('.py')}"
    found = [path for path in tree.ending("/" + name, depth=2) if "test" not in path]
    return found[0].removesuffix(".py").replace("/", ".") if found else None


def _fastapi(tree: Tree, asked: Requirements) -> Start | None:
    if not asked.has("fastapi", "starlette", "python-fasthtml"):
        return None
    app = find_application(tree, {"FastAPI", "Starlette", "FastHTML", "fast_app"})
    if app is None:
        return None
    target = f"{app.module}:{app.name}"
    folder = f" --app-dir {app.folder}" if app.folder else ""
    factory = " --factory" if app.factory else ""
    if asked.has("uvicorn", "fastapi[standard]", "fastapi[all]", "python-fasthtml"):
        return Start(f"uvicorn {target} {HOST_AND_PORT}{folder}{factory}", f"FastAPI in {app.path}", "web", "fastapi")
    if asked.has("hypercorn") and not app.folder and not app.factory:
        return Start(f"hypercorn {target} {BIND}", f"FastAPI in {app.path}", "web", "fastapi")
    raise BuildFault(
        f"{app.path} holds a FastAPI application, but nothing that can serve it is asked for.",
        hint="Add uvicorn to your requirements, or set start_command.",
    )


def _flask(tree: Tree, asked: Requirements) -> Start | None:
    if not asked.has("flask"):
        return None
    app = find_application(tree, {"Flask"})
    if app is None:
        return None
    call = f"{app.name}()" if app.factory else app.name
    if asked.has("gunicorn"):
        chdir = f" --chdir {app.folder}" if app.folder else ""
        target = f"{app.module}:{call}"
        shown = f"'{target}'" if app.factory else target
        return Start(f"gunicorn {shown} {BIND}{chdir}", f"Flask in {app.path}", "web", "flask")
    place = f"{app.folder}/{app.module}" if app.folder else app.module
    return Start(f"flask --app {place}:{app.name} run {HOST_AND_PORT}", f"Flask in {app.path}", "web", "flask")


def _streamlit(tree: Tree, asked: Requirements) -> Start | None:
    if not asked.has("streamlit"):
        return None
    names = ("streamlit_app.py", "app.py", "main.py", "Home.py", "src/streamlit_app.py")
    entry = next((path for path in names if tree.has(path) and "streamlit" in tree.read(path)), None)
    if entry is None:
        return None
    options = f"--server.address {LISTEN} --server.port $PORT --server.headless true"
    return Start(f"streamlit run {entry} {options}", f"Streamlit in {entry}", "web", "streamlit")


def find_application(tree: Tree, classes: set[str]) -> Application | None:
    """The first module that makes an instance of one of these classes at its top level, or has a factory for one."""
    nearest = [path for path in tree.ending(".py", depth=_DEPTH) if not _is_test(path)]
    order = [path for path in _FIRST if path in tree.files] + [path for path in nearest if path not in _FIRST]
    factory: Application | None = None
    for path in order[:_FILES]:
        text = tree.read(path)
        if not any(name in text for name in classes):
            continue
        name, is_factory = _look(text, classes)
        if not name:
            continue
        folder, module = _module(path)
        found = Application(module, name, is_factory, folder, path)
        if not is_factory:
            return found
        factory = factory or found
    return factory


def _look(text: str, classes: set[str]) -> tuple[str, bool]:
    """The variable's name, or a factory's with True; empty when there is neither."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # Not for a plan to judge: the running program will say what is wrong.
        return "", False
    names = [name for node in module.body for name in _assigned(node, classes)]
    if names:
        return ("app" if "app" in names else "application" if "application" in names else names[0]), False
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef) and not _needs_arguments(node)]
    makers = [node.name for node in functions if any(_makes(inner, classes) for inner in ast.walk(node))]
    return next(((name, True) for name in _FACTORY if name in makers), ("", False))


def _assigned(node: ast.stmt, classes: set[str]) -> list[str]:
    value: ast.expr | None
    if isinstance(node, ast.Assign):
        value, names = node.value, [target.id for target in node.targets if isinstance(target, ast.Name)]
    elif isinstance(node, ast.AnnAssign):
        value, names = node.value, [node.target.id] if isinstance(node.target, ast.Name) else []
    else:
        return []
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _FACTORY:
        return names
    return names if value is not None and _makes(value, classes) else []


def _makes(node: ast.AST, classes: set[str]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    return (isinstance(called, ast.Name) and called.id in classes) or (
        isinstance(called, ast.Attribute) and called.attr in classes
    )


def _needs_arguments(node: ast.FunctionDef) -> bool:
    arguments = node.args
    required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return required > 0 or any(default is None for default in arguments.kw_defaults)


def _module(path: str) -> tuple[str, str]:
    folder = "src" if path.startswith("src/") else ""
    inside = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__")
    return folder, inside.replace("/", ".")


def _is_test(path: str) -> bool:
    parts = path.split("/")
    return any(part in {"tests", "test", "docs", "examples", "scripts"} for part in parts[:-1]) or parts[-1].startswith(
        ("test_", "conftest")
    )
