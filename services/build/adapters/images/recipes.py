"""What an image builder needs on disk to follow a plan: Dockerfile, context, secret files, arguments."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from libs.plans.images.dockerfile import (
    FINAL,
    HOST_FILE,
    INSTALL_MARK,
    MARK,
    VARIABLES,
    Command,
    Told,
    dockerfile,
)
from libs.plans.images.stacks import base_of
from libs.plans.plan import BuildPlan
from services.build.adapters.registries import Registries
from services.build.adapters.steps import INSTALLERS, OURS
from services.build.adapters.workdir import WorkDirs, inside, remove
from services.build.app.ports import Job
from services.build.domain.model import canonical_json

# BuildKit takes no larger secret.
_LARGEST_SECRET: Final = 500 * 1024
_PROXIES: Final = re.compile(r"^(https?|no|all)_proxy$", re.IGNORECASE)
_NAME: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
# Where the operator's npmrc is shown, as far as it says where packages are.
_NPMRC: Final = "/opt/lightrail/host/npmrc"
_BUNDLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A build of an image, ready to be run."""

    dockerfile: Path
    context: Path
    # Files by the id of their secret mount.
    secrets: Mapping[str, Path]
    # Build arguments with their values.
    arguments: Mapping[str, str]
    # Names of arguments whose value the engine's program takes from its environment.
    inherited: Mapping[str, str]
    labels: Mapping[str, str]
    target: str
    # Images that must be there before.
    bases: tuple[str, ...]
    # Commands of the plan; none when the Dockerfile is the user's own.
    commands: tuple[Command, ...]
    # Sentences for the log.
    notes: tuple[str, ...]
    own: bool
    # No layer of an earlier build is taken over.
    fresh: bool = False

    @property
    def caching(self) -> tuple[str, ...]:
        """What the engine's program is told about layers of earlier builds; Docker's and Buildah's word is one."""
        return ("--no-cache",) if self.fresh else ()


@dataclass(frozen=True, slots=True)
class Kitchen:
    """Prepares recipes in the builds' work directories; `key` is the file of the key that hashes of variables have."""

    work: WorkDirs
    key: Path
    registries: Registries
    stack: str
    # Names this platform on what it makes.
    platform: str

    def prepare(self, job: Job, plan: BuildPlan) -> Recipe:
        """Writes everything down. BuildFault when the stack has nothing for this plan. Blocks."""
        recipe = self._prepared(job, plan)
        if not job.fresh:
            return recipe
        said = "NO_CACHE is set: no layer of an earlier build is used; downloads of package managers are."
        return replace(recipe, fresh=True, notes=(said, *recipe.notes))

    def _prepared(self, job: Job, plan: BuildPlan) -> Recipe:
        root = self.work.of(job.build.id)
        context = root / "source" / plan.root_directory if plan.root_directory else root / "source"
        place = root / "image"
        remove(place)
        place.mkdir(mode=0o700)
        labels = ownership(self.platform, job)
        inherited = {name: value for name, value in self.registries.environment.items() if _PROXIES.match(name)}
        if plan.provider == "dockerfile":
            return _own(plan, context, place, labels, inherited)
        files, skipped = self._host_files()
        told = Told(job.build.workspace_id, host_files=tuple(files))
        base = base_of(self.stack, plan)
        made = dockerfile(plan, base, told)
        (place / "Dockerfile").write_text(made.text, encoding="utf-8")
        (place / "Dockerfile.dockerignore").write_text("\n".join(made.ignored) + "\n", encoding="utf-8")
        given = {VARIABLES: place / "variables"}
        _write_private(given[VARIABLES], self._variables(job))
        for number, content in enumerate(files.values()):
            given[HOST_FILE.format(number=number)] = place / f"host-{number}"
            (place / f"host-{number}").write_bytes(content)
        return Recipe(
            dockerfile=place / "Dockerfile",
            context=context,
            secrets=given,
            arguments=self._marks(job),
            inherited={},
            labels=labels,
            target=FINAL,
            bases=(*((base.build,) if plan.steps else ()), base.run),
            commands=made.commands,
            notes=tuple(f"{path} of this machine is not shown to builds of images." for path in skipped),
            own=False,
        )

    def _variables(self, job: Job) -> str:
        """What commands get as environment, as lines of a shell: the host's settings, the user's over them."""
        user = {name: value for name, value in job.variables.values.items() if name not in OURS}
        npmrc = {"NPM_CONFIG_USERCONFIG": _NPMRC} if self.registries.npmrc else {}
        merged = {**self.registries.environment, **npmrc, **user}
        return "".join(
            f"export {name}={shlex.quote(value)}\n" for name, value in sorted(merged.items()) if _NAME.match(name)
        )

    def _marks(self, job: Job) -> dict[str, str]:
        user = job.variables.values
        installers = {name: value for name, value in user.items() if name.startswith(INSTALLERS)}
        return {INSTALL_MARK: self._mark(installers), MARK: self._mark(user)}

    def _mark(self, values: Mapping[str, str]) -> str:
        """A hash that changes with the values and tells nothing of them to who has not the key."""
        if not self.key.exists():
            self.key.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            _write_private(self.key, secrets.token_hex(32))
        key = self.key.read_bytes()
        return hmac.new(key, canonical_json(dict(values)), hashlib.sha256).hexdigest()[:32]

    def _host_files(self) -> tuple[dict[str, bytes], list[str]]:
        """Files of the host's by their place inside, and paths that cannot be shown."""
        found: dict[str, bytes] = {}
        skipped: list[str] = []
        shown = [(mount.source, mount.target) for mount in self.registries.mounts]
        bundles = {self.registries.environment.get(name, "") for name in _BUNDLES}
        shown += [(Path(path), path) for path in sorted(bundles) if path.startswith("/")]
        for source, target in shown:
            if target in found:
                continue
            content = source.read_bytes() if source.is_file() else b""
            if 0 < len(content) <= _LARGEST_SECRET:
                found[target] = content
            elif not source.is_dir() or source != Path("/etc/ssl/certs"):
                skipped.append(str(source))
        if self.registries.npmrc:
            found[_NPMRC] = self.registries.npmrc.encode()
        return found, skipped


def platform_of(home: Path) -> str:
    """The name by which the platform that lives in `home` knows its own images."""
    return hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]


def ownership(platform: str, job: Job) -> dict[str, str]:
    """The labels by which the platform knows its own images."""
    build = job.build
    return {
        "dev.lightrail.platform": platform,
        "dev.lightrail.workspace": build.workspace_id,
        "dev.lightrail.service": build.service_id,
        "dev.lightrail.build": build.id,
        "org.opencontainers.image.revision": job.snapshot_digest,
        "org.opencontainers.image.created": build.created_at.isoformat(),
    }


def _own(
    plan: BuildPlan, context: Path, place: Path, labels: Mapping[str, str], inherited: Mapping[str, str]
) -> Recipe:
    """The user's own Dockerfile, as the plan's command says."""
    options = plan.steps[0].commands[0][2:-1]
    values = _options(options)
    path = values["--file"][0]
    found = place / "Dockerfile"
    found.write_bytes(inside(context, path).read_bytes())
    ignore = next((name for name in (f"{path}.dockerignore", ".dockerignore") if (context / name).is_file()), None)
    if ignore:
        (place / "Dockerfile.dockerignore").write_bytes(inside(context, ignore).read_bytes())
    given = dict(pair.split("=", 1) for pair in values.get("--build-arg", []))
    target = values.get("--target", [""])[0]
    return Recipe(found, context, {}, given, inherited, labels, target, (), (), (), own=True)


def _options(words: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        found.setdefault(name, []).append(value)
    return found


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
