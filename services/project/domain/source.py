"""Where a service's source comes from: a git repository, pushes, or an image of a registry."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from libs.git.refs import ref_name
from libs.git.url import repo_url
from libs.git.watch import checked
from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret

LONGEST: Final = 256
LONGEST_PASSWORD: Final = 8192
_IMAGE: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,511}$")
_USERNAME: Final = re.compile(r"^[\x21-\x39\x3b-\x7e]*$")
_HOST: Final = re.compile(r"^[A-Za-z0-9.:\[\]_-]{1,300}$")
_KIND: Final = re.compile(r"^[a-z0-9@.-]{1,64}$")


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key that an ssh host showed: host and kind as in known_hosts, the key in base64."""

    host: str
    kind: str
    key: str

    @property
    def line(self) -> str:
        """The line of known_hosts."""
        return f"{self.host} {self.kind} {self.key}"

    @property
    def fingerprint(self) -> str:
        """As ssh shows it."""
        digest = hashlib.sha256(base64.b64decode(self.key)).digest()
        return "SHA256:" + base64.b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Source:
    """What is set; all empty: nothing but pushes and uploads."""

    git_url: str = ""
    branch: str = ""
    watch_paths: tuple[str, ...] = ()
    image: str = ""
    username: str = ""
    password: Secret[str] | None = None

    @property
    def keeper(self) -> tuple[str, str]:
        """To whom the password goes: host, and name there."""
        if self.git_url:
            return repo_url(self.git_url).origin, self.username
        return self.image.partition("/")[0], self.username


def changed(current: Source, given: Source) -> Source:
    """Returns `given`, checked, with the kept password where it would still go to the same host and name."""
    if given.git_url and given.image:
        raise Invalid("A source is a git repository or an image, not both.", field="image")
    url = str(repo_url(given.git_url, field="git_url")) if given.git_url.strip() else ""
    if given.image and not _IMAGE.match(given.image):
        raise Invalid(f"“{given.image[:80]}” is no name of an image.", field="image", hint="Write registry/name:tag.")
    if len(given.username) > LONGEST or not _USERNAME.match(given.username):
        raise Invalid("The user name holds a character that no user name has.", field="username")
    if given.password is not None and len(given.password.reveal()) > LONGEST_PASSWORD:
        raise Invalid(f"The password is longer than {LONGEST_PASSWORD} characters.", field="password")
    if (given.username or given.password) and not (url.startswith("http") or given.image):
        raise Invalid(
            "A user name and a password are for https repositories and for images.",
            field="username",
            hint="For ssh make a deploy key: lr source key",
        )
    new = replace(
        given,
        git_url=url,
        branch=ref_name(given.branch.strip(), field="branch") if given.branch.strip() else "",
        watch_paths=checked(given.watch_paths),
    )
    if new.password is None and current.password is not None and new.keeper == current.keeper:
        return replace(new, password=current.password)
    return new


def host_keys(lines: Sequence[str]) -> list[HostKey]:
    """Reads lines of known_hosts, as ssh wrote them. Invalid when one is something else."""
    found = []
    for line in lines:
        parts = line.split()
        if len(parts) != 3 or not _HOST.match(parts[0]) or not _KIND.match(parts[1]):  # noqa: PLR2004 - host, kind, key
            raise Invalid("This is no line of known_hosts.", field="known_hosts")
        try:
            base64.b64decode(parts[2], validate=True)
        except (binascii.Error, ValueError) as error:
            raise Invalid("This is no key of a host.", field="known_hosts") from error
        found.append(HostKey(*parts))
    return found
