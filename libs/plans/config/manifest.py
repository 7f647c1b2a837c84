"""lightrail.toml: what may stand in it, and what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Final, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from libs.plans.faults import BuildFault
from libs.plans.reading import ANY, KNOWN, Keys, Reading
from libs.plans.tree import Tree

NAME: Final = "lightrail.toml"
_TABLES: Final = ("versions", "environment", "arguments")
_TYPES: Final = re.compile(r"^Expected `(\w+)`, got `(\w+)`$")
_WORDS: Final = {
    "str": "a text", "int": "a number", "float": "a number", "bool": "true or false", "array": "a list",
    "object": "a table",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BuildSection:
    """How the source is built. What is left out is detected."""

    provider: Annotated[
        str, Meta(description="Kind of source: python, node, static, …; “auto” passes over a Dockerfile.")
    ] = ""
    install_command: Annotated[
        str, Meta(description="Installs dependencies; “...” stands for the detected commands, as in “... && ./more”.")
    ] = ""
    build_command: Annotated[str, Meta(description="Builds the source; “...” as above.")] = ""
    test_command: Annotated[str, Meta(description="Runs in what was built; when it fails, nothing is deployed.")] = ""
    builder: Annotated[
        str, Meta(description="slug, docker or buildah: what builds, instead of the platform's own choice.")
    ] = ""
    dockerfile: Annotated[str, Meta(description="Path of the Dockerfile to build.")] = ""
    target: Annotated[str, Meta(description="The stage of the Dockerfile to build; left out: the last one.")] = ""
    arguments: Annotated[
        dict[str, str], Meta(description="Build arguments of the Dockerfile (ARG). No secrets: an image shows them.")
    ] = field(default_factory=dict)
    output_directory: Annotated[
        str, Meta(description="Folder that the build writes and the platform serves, instead of a start command.")
    ] = ""
    network: Annotated[
        bool, Meta(description="false: build commands and tests reach no network. Installing dependencies always does.")
    ] = True
    versions: Annotated[
        dict[str, str], Meta(description='Versions of runtimes and package managers, as in node = "22".')
    ] = field(default_factory=dict)
    environment: Annotated[
        dict[str, str], Meta(description="Variables for building and running; the service's own come over them.")
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeploySection:
    """How the result is run."""

    start_command: Annotated[str, Meta(description="Starts one instance; it listens on $PORT.")] = ""
    release_command: Annotated[str, Meta(description="Runs once before a new version starts.")] = ""
    kind: Annotated[Literal["", "web", "worker"], Meta(description="A worker gets no traffic.")] = ""


@dataclass(frozen=True, slots=True)
class ScanSection:
    """What is to be done about findings of a scan; it can only be stricter than the project's own policy."""

    policy: Annotated[Literal["", "warn", "block"], Meta(description="block: findings end the build.")] = ""
    severity: Annotated[
        Literal["", "low", "medium", "high", "critical"], Meta(description="Findings this bad or worse count.")
    ] = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """lightrail.toml: how this source is built and run."""

    build: BuildSection = field(default_factory=BuildSection)
    deploy: DeploySection = field(default_factory=DeploySection)
    scan: ScanSection = field(default_factory=ScanSection)


_SECTIONS: Final[Mapping[str, Any]] = {"build": BuildSection, "deploy": DeploySection, "scan": ScanSection}


def read_manifest(tree: Tree) -> Reading | None:
    """What lightrail.toml says; None when there is none. BuildFault naming the line of a value of the wrong type."""
    if not tree.has(NAME):
        return None
    found = Reading(NAME, tree.read(NAME), tree.toml(NAME))
    try:
        manifest = msgspec.convert(found.document, Manifest)
    except msgspec.ValidationError as error:
        raise _wrong(found, str(error)) from error
    for section in (manifest.build, manifest.deploy):
        for one in fields(section):
            if one.name != "network":
                found.set(one.name, getattr(section, one.name))
    found.set("versions", found.versions_at("build", "versions"))
    found.set("offline", not manifest.build.network)
    found.judge(_keys())
    return found


def _wrong(found: Reading, told: str) -> BuildFault:
    """Says of a value which line it stands on, what it is, and what it must be."""
    what, _, place = told.partition(" - at `$.")
    key = place.rstrip("`")
    if key.endswith("[...]"):
        table = key.removesuffix("[...]")
        values = found.table(*table.split("."))
        key = next((f"{table}.{name}" for name, value in values.items() if not isinstance(value, str)), table)
    section, _, name = key.partition(".")
    if kinds := _TYPES.match(what):
        wanted, given = (_WORDS.get(kind, kind) for kind in kinds.groups())
        quotes = (wanted, given) == ("a text", "a number")
        return BuildFault(
            f"{found.line_of(key)}: “{key}” must be {wanted}, this is {given}.",
            hint="Write it in quotes." if quotes else f"See docs/building.md for {NAME}.",
        )
    allowed = [one for one in get_args(get_type_hints(_SECTIONS.get(section, Manifest)).get(name)) if one]
    why = f"must be one of {', '.join(allowed)}" if allowed else f"is wrong: {what}"
    return BuildFault(f"{found.line_of(key)}: “{key}” {why}.", hint=f"See docs/building.md for {NAME}.")


def _keys() -> Keys:
    """The names that may stand in the file, made from its types."""
    return {
        name: {one.name: {ANY: KNOWN} if one.name in _TABLES else KNOWN for one in fields(section)}
        for name, section in _SECTIONS.items()
    }
