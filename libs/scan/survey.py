"""Looks at the files of a source one after the other: packages, and secrets."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from libs.kernel.errors import Invalid
from libs.plans.tree import UNWRITTEN, decoded, is_marked
from libs.scan.inventory import LARGEST_LOCK, Gatherer, Inventory, is_mute, reader_of
from libs.scan.locks.reading import rows, table, text, words
from libs.scan.package import Package
from libs.scan.report import MOST_FINDINGS, Secrets, State, secret_document, secret_of
from libs.scan.secrets.ignore import NAME, read_ignore
from libs.scan.secrets.look import MOST_BYTES, SecretFinding, find_secrets
from libs.scan.severity import Policy, policy_of

# Files of one source that are looked at for secrets.
MOST_FILES: Final = 200_000
_NAMED: Final = 3
MANIFEST: Final = "lightrail.toml"


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What the files came to; `asked` is the policy that lightrail.toml wants."""

    inventory: Inventory
    secrets: Secrets
    asked: Policy | None = None

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "packages": [
                [
                    one.kind,
                    one.namespace,
                    one.name,
                    one.version,
                    list(one.licences),
                    one.development,
                    one.found_in,
                    list(one.needs),
                ]
                for one in self.inventory.packages
            ],
            "read": list(self.inventory.files),
            "notes": list(self.inventory.notes),
            "unlocked": list(self.inventory.unlocked),
            "unread": list(self.inventory.unread),
            "secrets": [secret_document(one) for one in self.secrets.findings],
            "files": self.secrets.files,
            "ignored": self.secrets.ignored,
            "more": self.secrets.more,
            "limits": list(self.secrets.notes),
            "asked": [self.asked.action.value, self.asked.severity.value] if self.asked else [],
        }


@dataclass(slots=True)
class Survey:
    """Takes the files in any order and keeps none of them; `root` is the folder that is built."""

    root: str = ""
    _gatherer: Gatherer = field(default_factory=Gatherer)
    _found: list[SecretFinding] = field(default_factory=list)
    _more: int = 0
    _files: int = 0
    _large: list[str] = field(default_factory=list)
    _ignore: str = ""
    _asked: Policy | None = None

    def wants(self, path: str) -> int:
        """How many bytes of the file are of interest; 0: none, it is not the source's own."""
        if not UNWRITTEN.isdisjoint(path.split("/")[:-1]):
            return 0
        return LARGEST_LOCK if reader_of(path) or is_mute(path) else MOST_BYTES

    def add(self, path: str, content: bytes, size: int) -> None:
        """Looks at one file of `size` bytes, of which `content` is all or the beginning."""
        if is_marked(content):
            told = decoded(content).encode()
            content, size = told, len(told) + size - len(content)
        if reader_of(path) or is_mute(path):
            self._gatherer.add(shown(path), content, size)
        if path == NAME:
            self._ignore = content.decode("utf-8", errors="replace")
        if path == f"{self.root}/{MANIFEST}".lstrip("/"):
            self._asked = asked_policy(content)
        self._files += 1
        if self._files > MOST_FILES:
            return
        if size > MOST_BYTES:
            self._large.append(path)
        for one in find_secrets(shown(path), content):
            # Twice as many as are kept: some may be allowed.
            if len(self._found) < 2 * MOST_FINDINGS:
                self._found.append(one)
            else:
                self._more += 1

    def result(self) -> Surveyed:
        """Everything so far."""
        ignore = read_ignore(self._ignore)
        real = [one for one in self._found if not ignore.allows(one)]
        ordered = sorted(real, key=lambda one: (-one.severity.rank, one))
        secrets = Secrets(
            state=State.DONE,
            files=min(self._files, MOST_FILES),
            findings=tuple(ordered[:MOST_FINDINGS]),
            ignored=len(self._found) - len(real),
            more=self._more + max(0, len(ordered) - MOST_FINDINGS),
            notes=(*ignore.notes, *self._limits()),
        )
        return Surveyed(self._gatherer.result(), secrets, self._asked)

    def _limits(self) -> list[str]:
        notes = []
        if self._large:
            named = ", ".join(shown(path) for path in sorted(self._large)[:_NAMED])
            rest = f" and {len(self._large) - _NAMED} more" if len(self._large) > _NAMED else ""
            notes.append(f"looked for secrets only in the first MiB of {named}{rest}")
        if self._files > MOST_FILES:
            notes.append(f"looked for secrets only in the first {MOST_FILES:,} of {self._files:,} files")
        return notes


def shown(path: str) -> str:
    """A path that can be printed: what would move a cursor is escaped."""
    return path if path.isprintable() else path.encode("unicode_escape", errors="backslashreplace").decode("ascii")


def asked_policy(manifest: bytes) -> Policy | None:
    """The policy that lightrail.toml asks for; None when it asks for none, or is wrong: the plan says so by itself."""
    try:
        section = table(tomllib.loads(manifest.decode("utf-8")).get("scan"))
        action, severity = text(section.get("policy")), text(section.get("severity"))
        return policy_of(action, severity) if action or severity else None
    except (ValueError, RecursionError, Invalid):  # no UTF-8, no TOML, or a number of too many digits
        return None


def surveyed_of(document: Mapping[str, Any]) -> Surveyed:
    """What `document()` described."""
    packages = tuple(
        Package(kind, namespace, name, version, tuple(licences), development, found_in, tuple(needs))
        for kind, namespace, name, version, licences, development, found_in, needs in document["packages"]
    )
    secrets = Secrets(
        State.DONE,
        "",
        document["files"],
        tuple(secret_of(one) for one in rows(document["secrets"])),
        document["ignored"],
        document["more"],
        words(document["limits"]),
    )
    asked = policy_of(*document["asked"]) if document["asked"] else None
    notes, unlocked, unread = (words(document[part]) for part in ("notes", "unlocked", "unread"))
    return Surveyed(Inventory(packages, words(document["read"]), notes, unlocked, unread), secrets, asked)
