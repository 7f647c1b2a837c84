"""Addresses of repositories: read strictly, so that none can be taken for an option, a file or another protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from libs.kernel.errors import Invalid

LONGEST: Final = 1024
PORTS: Final = {"https": 443, "http": 80, "ssh": 22}
LARGEST_PORT: Final = 65535
_HOST: Final = re.compile(
    r"^(?:[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9][A-Za-z0-9_-]{0,62})*\.?|[0-9a-fA-F:.]+)$"
)
_USER: Final = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$")
# git@host:team/app.git, as people copy it from a host's page.
_SHORT: Final = re.compile(r"^(?P<user>[^@:/]+)@(?P<host>[^@:/]+):(?P<path>[^:].*)$")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f\\]")
_WRITE: Final = "Write https://host/team/app.git, ssh://git@host/team/app.git or git@host:team/app.git."


@dataclass(frozen=True, slots=True)
class RepoUrl:
    """Where a repository is. `path` begins with “/”; `user` is for ssh alone."""

    scheme: str
    host: str
    port: int
    path: str
    user: str = ""

    def __str__(self) -> str:
        """The one spelling that git is given."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{f'{self.user}@' if self.user else ''}{host}{port}{self.path}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: what credentials belong to."""
        return f"{self.scheme}://{self.host}:{self.port}"


def repo_url(text: str, *, field: str = "url") -> RepoUrl:
    """Reads the address of a repository. Invalid says what is wrong with it."""
    text = text.strip()
    if not text or len(text) > LONGEST or _UNPRINTABLE.search(text) or not text.isascii():
        raise Invalid(f"“{text[:80]}” is no address of a repository.", field=field, hint=_WRITE)
    short = _SHORT.match(text)
    if short and "://" not in text:
        return _checked("ssh", short["host"], PORTS["ssh"], f"/{short['path'].removeprefix('/')}", short["user"], field)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise Invalid(f"“{text[:80]}” is no address of a repository: {error}.", field=field, hint=_WRITE) from error
    if parts.scheme not in PORTS:
        raise Invalid(
            f"Repositories are reached by https or ssh, not by “{parts.scheme or text[:40]}”.", field=field, hint=_WRITE
        )
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise Invalid("The address of a repository holds neither “?” nor “#”.", field=field)
    if parts.password is not None or (parts.username and parts.scheme != "ssh"):
        raise Invalid(
            "A name or password does not belong into the address: it would be shown to everyone who sees it.",
            field=field,
            hint="Give them beside it, as username and password.",
        )
    user = parts.username or "git" if parts.scheme == "ssh" else ""
    return _checked(
        parts.scheme, parts.hostname or "", PORTS[parts.scheme] if port is None else port, parts.path, user, field
    )


def beside(base: RepoUrl, text: str) -> RepoUrl:
    """Reads the address of a submodule, which may be relative to its repository: “../other.git”."""
    if not text.startswith(("./", "../")):
        return repo_url(text)
    place = [part for part in base.path.split("/") if part]
    for part in text.split("/"):
        if part == ".." and not place:
            raise Invalid(f"The submodule's address “{text[:80]}” leads out of {base.host}.", field="url")
        if part == "..":
            place.pop()
        elif part not in ("", "."):
            place.append(part)
    return _checked(base.scheme, base.host, base.port, "/" + "/".join(place), base.user, "url")


def _checked(scheme: str, host: str, port: int, path: str, user: str, field: str) -> RepoUrl:
    if not _HOST.match(host):
        raise Invalid(f"“{host[:80]}” is no name of a host.", field=field, hint=_WRITE)
    if user and not _USER.match(user):
        raise Invalid(f"“{user[:80]}” is no name of a user.", field=field, hint=_WRITE)
    if not 0 < port <= LARGEST_PORT:
        raise Invalid(f"There is no port {port}.", field=field)
    parts = path.split("/")
    if not path.strip("/") or ".." in parts or any(part.startswith("-") for part in parts):
        raise Invalid(f"“{path[:80]}” is no path of a repository.", field=field, hint=_WRITE)
    return RepoUrl(scheme, host.lower().rstrip("."), port, path, user)
