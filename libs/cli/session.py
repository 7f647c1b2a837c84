"""Which platform is meant, and who is asking."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from libs.cli import store
from libs.kernel.errors import Denied
from libs.kernel.secret import Secret

if TYPE_CHECKING:
    from libs.sdk.client import Client

Json: TypeAlias = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON; a value a line for streams.")]
ServiceName: TypeAlias = Annotated[
    str | None, Parameter(name=["--service", "-s"], help="Name or id of the service, not the linked one.")
]
EnvironmentName: TypeAlias = Annotated[
    str | None,
    Parameter(name=["--environment", "-e"], help="Name or id of the environment, not the linked one."),
]


def api() -> str:
    """The platform's address: LIGHTRAIL_API, else the one on this machine at LIGHTRAIL_PORT."""
    if chosen := os.environ.get("LIGHTRAIL_API"):
        address = chosen.strip().rstrip("/").removesuffix("/api/v1")
        return address if "://" in address else f"http://{address}"
    return f"http://localhost:{os.environ.get('LIGHTRAIL_PORT') or '8080'}"


def credential() -> Secret[str]:
    """LIGHTRAIL_TOKEN, else what `lr login` kept. Denied when there is neither."""
    if token := os.environ.get("LIGHTRAIL_TOKEN", "").strip():
        return Secret(token)
    kept = store.credential(api())
    if kept is None:
        raise Denied(f"You are not signed in to {api()}.", unauthenticated=True, hint="Sign in with: lr login")
    return kept


def connect() -> Client:
    """A client that acts for whoever is signed in; use it in `async with`. Denied when nobody is."""
    token = credential()
    from libs.sdk.client import Client  # noqa: PLC0415 - what only calls cost

    return Client(api(), token)


def anonymous(token: Secret[str] | None = None) -> Client:
    """A client for signing in, or with a token that is not kept yet."""
    from libs.sdk.client import Client  # noqa: PLC0415 - the same

    return Client(api(), token)
