"""A plan as a Dockerfile: one stage that builds, one that runs; the same plan gives the same text.

Secrets are neither ARG nor ENV: commands read them from a secret mount, which leaves nothing in any layer. As such a
mount does not count when BuildKit looks whether it ran a command before, two arguments of the build stage stand for
the variables: their values are keyed hashes.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from libs.plans.assemble import show
from libs.plans.caches import CACHES, PNPM_KEEPS_TO, kept_by
from libs.plans.images.stacks import USER, Base
from libs.plans.plan import APP, EVERYTHING, RUNTIME, BuildPlan, Step

HOME: Final = "/home/app"
# Secret mounts: the variables as lines of a shell, and files of the host's by their place among those that are shown.
VARIABLES: Final = "lightrail-variables"
VARIABLES_FILE: Final = "/run/lightrail/variables"
HOST_FILE: Final = "lightrail-host-{number}"
# Arguments of the build stage that stand for variables: those that installers read, and all of them.
INSTALL_MARK: Final = "LIGHTRAIL_INSTALL_VARIABLES"
MARK: Final = "LIGHTRAIL_VARIABLES"
PORT: Final = "8080"
# The stage of the result, and the one that tests what was built.
FINAL: Final = "final"
TEST: Final = "test"
_SYSTEM_PATH: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_OWNER: Final = f"--chown={USER}:{USER}"
# Where further tools keep their downloads.
_MORE_CACHES: Final = {
    "go": {"GOMODCACHE": f"{CACHES}/go/mod", "GOCACHE": f"{CACHES}/go/build"},
    "cargo": {"CARGO_HOME": f"{CACHES}/cargo"},
    "composer": {"COMPOSER_CACHE_DIR": f"{CACHES}/composer", "COMPOSER_ALLOW_SUPERUSER": "1"},
    "gradle": {"GRADLE_USER_HOME": f"{CACHES}/gradle"},
    "maven": {"MAVEN_ARGS": f"-Dmaven.repo.local={CACHES}/maven"},
    "nuget": {"NUGET_HTTP_CACHE_PATH": f"{CACHES}/nuget"},
    "hex": {"HEX_CACHE_DIR": f"{CACHES}/hex"},
}
# Results of compiling that nobody needs to run.
_SCRATCH: Final = {"cargo": f"{APP}/target"}
_TOOL_OF: Final = {"UV": "uv", "PYC": "uv", "npm": "npm", "YARN": "yarn", "BUN": "bun"}


@dataclass(frozen=True, slots=True)
class Told:
    """What the text depends on beside the plan and its base."""

    # Whose caches: builds of others never see them.
    scope: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    # Places inside where files of the host's are shown to commands, as secret mounts.
    host_files: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the plan, as the Dockerfile runs it."""

    step: str
    # How the text of its RUN ends.
    text: str
    # As a person would type it.
    shown: str


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """The text, and what the builder must know to follow it."""

    text: str
    # Lines of its ignore file: what the context must not bring along.
    ignored: tuple[str, ...]
    commands: tuple[Command, ...]


def dockerfile(plan: BuildPlan, base: Base, told: Told | None = None) -> Dockerfile:
    """The Dockerfile for a plan on a base."""
    writer = _Writer(plan, base, told or Told())
    writer.build_stage()
    writer.final_stage()
    writer.test_stage()
    outputs = (step.output.removeprefix(f"{APP}/") for step in plan.steps if step.output)
    return Dockerfile("\n".join(writer.lines) + "\n", (".git", *dict.fromkeys(outputs)), tuple(writer.commands))


@dataclass(slots=True)
class _Writer:
    plan: BuildPlan
    base: Base
    told: Told
    lines: list[str] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    # The whole source is in the build stage.
    whole: bool = False
    marked: bool = False

    def build_stage(self) -> None:
        """Installs and builds; nothing when the plan has no steps."""
        plan, base = self.plan, self.base
        self.lines += ["# Made from the plan of this source by “lr build plan --dockerfile”."]
        if not plan.steps:
            return
        path = [*plan.path, f"{APP}/node_modules/.bin"]
        environment = {"LANG": "C.UTF-8", "CI": "true", **self._tools(), **plan.environment}
        self.lines += [f"FROM {base.build} AS build", f"WORKDIR {APP}"]
        self.lines += [f"COPY --from={image} {place} {place}" for image, place in base.programs]
        if base.prepare:
            self._run(Step("setup", (), network=True), ["sh", "-c", base.prepare])
        # The image's own PATH comes last: languages lie in places of their own.
        self.lines += _environment({**environment, "PATH": ":".join((*dict.fromkeys(path), "$PATH"))})
        self.lines.append(f"ARG {INSTALL_MARK}")
        for step in plan.steps:
            self._step(step)

    def final_stage(self) -> None:
        """The result: what was installed and built, a user without rights, the start command."""
        plan, base = self.plan, self.base
        self.lines += ["", f"FROM {base.run} AS {FINAL}"]
        if base.user:
            self.lines.append(f"RUN {base.user}")
        environment = {"LANG": "C.UTF-8", "HOME": HOME, "PORT": PORT, **({} if plan.serves else plan.environment)}
        path = () if plan.serves else plan.path
        self.lines += _environment({**environment, **({"PATH": ":".join((*path, "$PATH"))} if path else {})})
        self.lines += [f"WORKDIR {APP}", *self._copies()]
        command = plan.start_command
        if base.caddy:
            command = self._caddy()
        labels = {"dev.lightrail.provider": plan.provider, "dev.lightrail.kind": plan.kind, **self.told.labels}
        self.lines += _together("LABEL", [f"{name}={_quoted(value)}" for name, value in sorted(labels.items())])
        self.lines += [f"USER {USER}:{USER}", f"EXPOSE {PORT}"] if plan.kind == "web" else [f"USER {USER}:{USER}"]
        self.lines.append(f"CMD {json.dumps(['/bin/sh', '-c', command], ensure_ascii=False)}")

    def test_stage(self) -> None:
        """Runs the test in what was built; the result has nothing of it."""
        if self.plan.test is None:
            return
        self.lines += ["", f"FROM {'build' if self.plan.steps else self.base.build} AS {TEST}"]
        if not self.plan.steps:
            self.lines.append(f"WORKDIR {APP}")
        self.whole, self.marked = self.whole and bool(self.plan.steps), False
        self._step(self.plan.test)

    def _copies(self) -> list[str]:
        plan = self.plan
        if plan.serves and plan.steps:
            return [f"COPY --from=build {_OWNER} {plan.serves} {plan.serves}"]
        if self.whole:
            return [f"COPY --from=build {_OWNER} {APP} {APP}"]
        outputs = [step.output for step in plan.steps if step.output]
        return [*(f"COPY --from=build {_OWNER} {place} {place}" for place in outputs), f"COPY {_OWNER} . {APP}"]

    def _caddy(self) -> str:
        words = self.plan.start_command.split()
        fallback = "try_files {path} /index.html" if "--fallback" in words else ""
        site = [":{$PORT} {", f"root * {words[-1]}", "encode gzip", fallback, "file_server", "}"]
        self.lines.append(f"RUN {_written('/etc/caddy/Caddyfile', [line for line in site if line])}")
        return "exec caddy run --config /etc/caddy/Caddyfile --adapter caddyfile"

    def _step(self, step: Step) -> None:
        everything = step.inputs == EVERYTHING
        if everything and not self.whole:
            self.lines.append(f"COPY . {APP}")
            self.whole = True
        elif not everything and not self.whole:
            self.lines += _copied(step.inputs)
        self.lines += [f"RUN {_written(path, text.splitlines())}" for path, text in step.files.items()]
        if not step.output and not self.marked:
            self.marked = True
            self.lines.append(f"ARG {MARK}")
        for argv in step.commands:
            self._run(step, [self.base.program if word == RUNTIME else word for word in argv])

    def _run(self, step: Step, argv: list[str]) -> None:
        text = shlex.join(argv)
        parts = [f"[ ! -f {VARIABLES_FILE} ] || . {VARIABLES_FILE}"]
        parts += [f"export {name}={shlex.quote(value)}" for name, value in step.environment.items() if value]
        if unset := [name for name, value in step.environment.items() if not value]:
            parts.append(f"unset {' '.join(unset)}")
        command = "; ".join((*parts, text))
        closed = () if step.network else ("--network=none",)
        mounts = " \\\n    ".join((*closed, *self._mounts(step)))
        # A line break inside a command would end the instruction.
        body = command if "\n" not in command else json.dumps(["/bin/sh", "-c", command], ensure_ascii=False)
        self.lines.append(f"RUN {mounts} \\\n    {body}")
        self.commands.append(Command(step.name, body[-len(text) :] if body == command else body, show(tuple(argv))))

    def _mounts(self, step: Step) -> list[str]:
        scope = f"{self.told.scope}-" if self.told.scope else ""
        mounts = [f"--mount=type=cache,id={scope}{name},target={CACHES}/{name}" for name in step.caches]
        mounts += [
            f"--mount=type=cache,id={scope}{name}-scratch,target={_SCRATCH[name]}"
            for name in step.caches
            if name in _SCRATCH
        ]
        mounts.append(f"--mount=type=secret,id={VARIABLES},target={VARIABLES_FILE}")
        mounts += [
            f"--mount=type=secret,id={HOST_FILE.format(number=number)},target={place}"
            for number, place in enumerate(self.told.host_files)
        ]
        return mounts

    def _tools(self) -> dict[str, str]:
        """What tells the plan's own tools where their downloads go."""
        caches = {name for step in self.plan.steps for name in step.caches}
        found = {name: value for name, value in kept_by(caches).items() if _tool(name) in caches}
        for name in sorted(caches):
            found |= _MORE_CACHES.get(name, {})
        return found


def _tool(variable: str) -> str:
    """The tool whose variable this is."""
    return "pnpm" if variable in PNPM_KEEPS_TO else _TOOL_OF[variable.partition("_")[0]]


def _environment(values: Mapping[str, str]) -> list[str]:
    pairs = [
        f"{name}={_quoted(value, variables=name == 'PATH')}" for name, value in values.items() if _plain_name(name)
    ]
    return _together("ENV", pairs)


def _together(word: str, pairs: Sequence[str]) -> list[str]:
    """One instruction for all of them: builders make an image of each instruction."""
    return [f"{word} " + " \\\n    ".join(pairs)] if pairs else []


def _plain_name(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None


def _quoted(value: str, *, variables: bool = False) -> str:
    """A value as Dockerfiles have it; only where `variables` are meant does a dollar stand for one."""
    text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return '"' + (text if variables else text.replace("$", "\\$")) + '"'


def _copied(inputs: Iterable[str]) -> list[str]:
    """Files of the source into the folders they lie in."""
    folders: dict[str, list[str]] = {}
    for path in inputs:
        parent = PurePosixPath(path).parent.as_posix()
        folders.setdefault("./" if parent == "." else f"{parent}/", []).append(path)
    return [f"COPY {json.dumps([*files, folder], ensure_ascii=False)}" for folder, files in folders.items()]


def _written(path: str, lines: Iterable[str]) -> str:
    """The command that writes a file."""
    made = f"mkdir -p {shlex.quote(PurePosixPath(path).parent.as_posix())} && printf '%s\\n'"
    text = "".join(f" \\\n    {shlex.quote(line)}" for line in lines)
    return f"{made}{text} \\\n    > {shlex.quote(path)}"
