"""What a Node framework's files say: which one it is, whether its output is only files, how it starts otherwise."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Any, Final

from libs.plans.nodejs.package import Package
from libs.plans.tree import Tree

# By dependency, the more particular first.
_FRAMEWORKS: Final = (
    ("next", "next"), ("nuxt", "nuxt"), ("@remix-run/node", "remix"), ("@react-router/dev", "react-router"),
    ("@tanstack/react-start", "tanstack-start"), ("@tanstack/solid-start", "tanstack-start"), ("astro", "astro"),
    ("@sveltejs/kit", "sveltekit"), ("@angular/core", "angular"), ("expo", "expo"), ("react-scripts", "cra"),
    ("@nestjs/core", "nest"), ("express", "express"), ("fastify", "fastify"), ("koa", "koa"), ("hono", "hono"),
    ("vite", "vite"),
)  # fmt: skip
# By the dependencies that must all be there: how the server that the build leaves is started.
_STARTS: Final = (
    (("nuxt",), "node .output/server/index.mjs"),
    (("@tanstack/react-start", "nitro"), "node .output/server/index.mjs"),
    (("@tanstack/solid-start", "nitro"), "node .output/server/index.mjs"),
    (("@tanstack/react-start",), "npx srvx --prod -s ../client dist/server/server.js"),
    (("@tanstack/solid-start",), "npx srvx --prod -s ../client dist/server/server.js"),
    (("@sveltejs/kit",), "node build"),
    (("next",), "npx next start -p $PORT"),
    (("@astrojs/node",), "node ./dist/server/entry.mjs"),
    (("@remix-run/serve",), "npx remix-serve ./build/server/index.js"),
    (("@react-router/serve",), "npx react-router-serve ./build/server/index.js"),
    (("@nestjs/core",), "node dist/main.js"),
)
# Start scripts that are for developing, or that cannot serve what was exported: the files are served instead.
_FOR_DEVELOPERS: Final = frozenset(
    {"ng serve", "react-scripts start", "expo start", "next start", "react-router-serve ./build/server/index.js",
     "vite", "vite dev", "astro dev", "vite preview", "astro preview"}
)  # fmt: skip
_ADAPTERS: Final = ("@astrojs/node", "@astrojs/vercel", "@astrojs/cloudflare", "@astrojs/netlify")
_OUT_DIR: Final = re.compile(r"\boutDir:\s*['\"](.+?)['\"]")


@dataclass(frozen=True, slots=True)
class Static:
    """A framework whose build leaves only files."""

    framework: str
    # Folder with them, from the source's root.
    folder: str
    # Unknown addresses get index.html: the page itself routes.
    routes: bool = True


def framework_of(package: Package) -> str:
    """The framework's name; empty when none is known."""
    return next((label for name, label in _FRAMEWORKS if package.has(name)), "")


def static_output(tree: Tree, package: Package) -> Static | None:
    """Where the files lie after the build, for frameworks that need no server; None for all others."""
    build = package.scripts.get("build", "")
    if not build or package.scripts.get("start", "").strip() not in {*_FOR_DEVELOPERS, ""}:
        return None
    if "react-scripts build" in build:
        return Static("cra", "build")
    if package.has("@sveltejs/kit"):
        return Static("sveltekit", "build") if package.has("@sveltejs/adapter-static") else None
    for look in (_react_router, _astro, _next, _angular, _expo, _vite):
        found = look(tree, package, build)
        if found is not None:
            return found if found.folder else None
    return None


def default_start(package: Package) -> str:
    """The command that starts a framework's server when no script says so; empty when there is none."""
    if package.has("@sveltejs/kit") and package.has("@sveltejs/adapter-static"):
        return ""
    return next((command for names, command in _STARTS if package.has(names[0]) and package.has(names[-1])), "")


def nx_start(tree: Tree) -> tuple[str, str, str] | None:
    """In an Nx workspace with one Next application: its folder, how it is built, how it starts."""
    if not tree.has("nx.json"):
        return None
    apps = sorted(path.rsplit("/", 1)[0] for path in tree.ending(".js", depth=3) + tree.ending(".ts", depth=3)
                  if path.rsplit("/", 1)[-1].startswith("next.config.") and "/" in path)  # fmt: skip
    for folder in apps:
        name = posixpath.basename(folder)
        for file in (f"{folder}/project.json", f"{folder}/package.json"):
            if tree.has(file):
                document: dict[str, Any] = tree.json(file)
                nx = document.get("nx")
                inner = nx.get("name") if isinstance(nx, dict) else None
                name = str(inner or document.get("name") or name)
                break
        return folder, f"npx nx run {name}:build", f"cd {folder} && next start"
    return None


def _config(tree: Tree, stem: str) -> str:
    path = tree.first(*(f"{stem}.{end}" for end in ("js", "mjs", "ts", "mts", "cjs")))
    return tree.read(path) if path else ""


def _react_router(tree: Tree, package: Package, build: str) -> Static | None:
    config = _config(tree, "react-router.config")
    if not (config or "react-router build" in build or package.has("@react-router/dev")):
        return None
    if not re.search(r"(?:^|[{,])\s*['\"]?ssr['\"]?\s*:\s*false\b", config, re.MULTILINE):
        return Static("react-router", "")
    folder = re.search(r"buildDirectory:\s*['\"](.+?)['\"]", config)
    return Static("react-router", posixpath.join(folder[1] if folder else "build", "client"))


def _astro(tree: Tree, package: Package, build: str) -> Static | None:
    config = _config(tree, "astro.config")
    if "astro build" not in build:
        return None
    if re.search(r"output:\s*['\"]server['\"]", config) or package.has(*_ADAPTERS):
        return Static("astro", "")
    folder = _OUT_DIR.search(config)
    return Static("astro", folder[1] if folder else "dist", routes=False)


def _next(tree: Tree, package: Package, _build: str) -> Static | None:
    if not package.has("next"):
        return None
    config = _config(tree, "next.config")
    if not re.search(r"output:\s*['\"]export['\"]", config):
        return Static("next", "")
    folder = re.search(r"distDir:\s*['\"](.+?)['\"]", config)
    return Static("next", folder[1] if folder else "out", routes=False)


def _angular(tree: Tree, package: Package, build: str) -> Static | None:
    if not (package.has("@angular/core") and tree.has("angular.json") and "ng build" in build):
        return None
    projects = tree.json("angular.json").get("projects")
    for name, project in projects.items() if isinstance(projects, dict) else []:
        target = project
        for key in ("architect", "build"):
            target = target.get(key) if isinstance(target, dict) else None
        options = target.get("options") if isinstance(target, dict) else None
        if not isinstance(target, dict) or not isinstance(options, dict):
            continue
        if options.get("server") or options.get("ssr"):
            return Static("angular", "")
        folder = options.get("outputPath") or f"dist/{name}"
        application = str(target.get("builder", "")).endswith(":application") or "browser" in options
        return Static("angular", posixpath.join(str(folder), "browser") if application else str(folder))
    return Static("angular", "")


def _expo(tree: Tree, package: Package, build: str) -> Static | None:
    if not package.has("expo") or "expo export" not in build:
        return None
    folder = re.search(r"--output-dir[ =](\S+)", build)
    output = ""
    if tree.has("app.json"):
        expo = tree.json("app.json").get("expo")
        web = expo.get("web") if isinstance(expo, dict) else None
        output = str(web.get("output", "")) if isinstance(web, dict) else ""
    return Static("expo", "" if output == "server" else folder[1] if folder else "dist")


def _vite(tree: Tree, package: Package, build: str) -> Static | None:
    config = _config(tree, "vite.config")
    server = ("@tanstack/react-start", "@tanstack/solid-start", "@remix-run/node", "nuxt", "express", "fastify", "koa")
    if not package.has("vite") or not ("vite build" in build or config) or package.has(*server):
        return None
    told = re.search(r"vite\s+build\b[^&|;]*--outDir[ =]([^\s;&]+)", build)
    found = _OUT_DIR.search(config)
    return Static("vite", told[1] if told else found[1] if found else "dist")
