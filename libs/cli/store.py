"""What the CLI remembers between calls: credentials and links, in the user's own configuration directory."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret

_CREDENTIALS: Final = "credentials.json"
_LINKS: Final = "links.json"


@dataclass(frozen=True, slots=True)
class Link:
    """What a directory belongs to. Service empty: the project only."""

    # The directory that was linked; commands below it use the link too.
    directory: str
    project_id: str
    project_name: str
    environment_id: str
    environment_name: str
    service_id: str = ""
    service_name: str = ""


def directory() -> Path:
    """Where it is kept: LIGHTRAIL_CONFIG_DIR, else lightrail/ in XDG_CONFIG_HOME, else in ~/.config."""
    if chosen := os.environ.get("LIGHTRAIL_CONFIG_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "lightrail"


def credential(api: str) -> Secret[str] | None:
    """The session or token kept for an API; None when there is none."""
    token = _read(_CREDENTIALS).get(api, {}).get("token")
    return Secret(token) if isinstance(token, str) and token else None


def keep_credential(api: str, token: Secret[str], email: str) -> None:
    """Keeps a session or token for an API, readable by this user only."""
    kept = _read(_CREDENTIALS)
    kept[api] = {"token": token.reveal(), "email": email}
    _write(_CREDENTIALS, kept)


def forget_credential(api: str) -> bool:
    """Drops what is kept for an API; tells whether there was anything."""
    kept = _read(_CREDENTIALS)
    if kept.pop(api, None) is None:
        return False
    _write(_CREDENTIALS, kept)
    return True


def link(api: str, place: Path) -> Link | None:
    """The link of a directory or of the nearest one above it; None when there is none."""
    links = _read(_LINKS).get(api, {})
    for candidate in (place, *place.parents):
        if (found := links.get(str(candidate))) is not None:
            try:
                return Link(directory=str(candidate), **found)
            except TypeError:
                return None
    return None


def keep_link(api: str, made: Link) -> None:
    """Links a directory."""
    links = _read(_LINKS)
    values = asdict(made)
    links.setdefault(api, {})[values.pop("directory")] = values
    _write(_LINKS, links)


def _read(name: str) -> dict[str, Any]:
    path = directory() / name
    try:
        content = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise Invalid(f"{path} cannot be read: {error}.", hint="Remove it; lr login makes it anew.") from error
    return content if isinstance(content, dict) else {}


def _write(name: str, content: dict[str, Any]) -> None:
    """Replaces the file whole; it is never readable by others, not even for a moment."""
    folder = directory()
    draft = folder / f".{name}.{secrets.token_hex(4)}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
        draft.replace(folder / name)
    except OSError as error:
        raise Invalid(
            f"{folder / name} cannot be written: {error.strerror}.",
            hint="Choose another directory with LIGHTRAIL_CONFIG_DIR.",
        ) from error
