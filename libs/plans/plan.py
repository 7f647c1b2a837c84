"""What a build will do, as data: the executor has no choices left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

VERSION: Final = 1
APP: Final = "/app"
# Stands in a command for the path of the runtime's interpreter.
RUNTIME: Final = "{runtime}"
# Stands in a detected start command for the address to listen on.
LISTEN: Final = "{listen}"
# What makes the artifact: steps in the platform's own sandboxes, or an image.
SLUG: Final = "slug"
IMAGE_BUILDERS: Final = ("docker", "buildah")
BUILDERS: Final = (SLUG, *IMAGE_BUILDERS)
# Inputs of a step that reads the whole source.
EVERYTHING: Final = ("**",)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a provider thinks the source is its own."""

    provider: str
    # Files it was recognised by.
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What people say about their build, in settings, flags or files; empty: detected."""

    start_command: str = ""
    build_command: str = ""
    # Runs in what was built; nothing is published when it fails.
    test_command: str = ""
    root_directory: str = ""
    # web or worker
    kind: str = ""
    install_command: str = ""
    # Runs once before a new version starts.
    release_command: str = ""
    # Name of the provider; empty: the first that recognises the source.
    provider: str = ""
    # Path of the Dockerfile, for the provider of that name.
    dockerfile: str = ""
    # The stage of the Dockerfile to build, and its build arguments.
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    # Folder of files to serve once the build has run.
    output_directory: str = ""
    # slug, docker or buildah; empty: the platform's own.
    builder: str = ""
    # Versions of runtimes and tools by name: {"node": "22"}
    versions: Mapping[str, str] = field(default_factory=dict)
    # Variables for the build and for what it makes.
    environment: Mapping[str, str] = field(default_factory=dict)
    # Build commands reach no network.
    offline: bool = False
    # Who said so, by the field's name; those not named came from the service's settings.
    sources: Mapping[str, str] = field(default_factory=dict)

    def said_by(self, name: str) -> str:
        """Who set this field, as people are told."""
        return self.sources.get(name, f"the setting {name}")


@dataclass(frozen=True, slots=True)
class Runtime:
    """The language runtime that steps and the artifact need."""

    # python, node, go, …; "files" is the platform's own file server, "system" needs no language at all
    name: str
    # As in ">=3.11,<4"; empty: any.
    constraint: str = ""
    # Who asked for it, for messages: ".python-version".
    asked_by: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """Commands run one after the other in a sandbox that shows the source at /app."""

    # install or build
    name: str
    # argv each; programs are found on the step's PATH.
    commands: tuple[tuple[str, ...], ...]
    # What the result depends on; a step with an output and the same inputs is not run twice.
    inputs: tuple[str, ...] = EVERYTHING
    # Files written before the commands, by path from /app.
    files: Mapping[str, str] = field(default_factory=dict)
    # Absolute path of the folder that becomes a layer; empty: the step changes the source itself.
    output: str = ""
    # Outputs of earlier steps that this one may change; they are then published as it left them.
    changes: tuple[str, ...] = ()
    # Download caches of tools shared by the workspace's builds: uv, npm
    caches: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    # Whether the commands reach the network; without it there is nothing but a loopback of their own.
    network: bool = False


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """The whole build: what was seen, what runs, what starts in the end."""

    provider: str
    framework: str
    evidence: tuple[str, ...]
    runtime: Runtime
    steps: tuple[Step, ...]
    start_command: str
    # Where the start command comes from, for people: "Procfile (web)".
    start_from: str
    kind: Literal["web", "worker"]
    # For later steps and for the artifact; PATH entries are in `path`.
    environment: Mapping[str, str] = field(default_factory=dict)
    # Folders before the system's on PATH.
    path: tuple[str, ...] = ()
    # Folder of the upload that is shown at /app.
    root_directory: str = ""
    # Sentences for the log.
    warnings: tuple[str, ...] = ()
    # What steps and the start command need beside the runtime: package managers, build tools.
    tools: tuple[Runtime, ...] = ()
    # Absolute path of the folder that the platform's own file server serves; empty: the application serves itself.
    serves: str = ""
    # Runs once before a new version starts.
    release_command: str = ""
    # Runs in what the steps built; whatever it leaves is not published.
    test: Step | None = None
    # docker or buildah; empty: the slug builder.
    builder: str = ""
    version: int = VERSION

    def document(self) -> dict[str, Any]:
        """The plan as plain JSON values, with keys in a fixed order; the slug builder is not named."""
        return {key: _plain(value) for key, value in asdict(self).items() if value or key != "builder"}


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON values are of every type
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
