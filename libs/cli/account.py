"""`lr login`, `lr logout`, `lr whoami`."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from libs.cli import screen, session, store
from libs.cli.session import Json
from libs.kernel.errors import Denied, Invalid
from libs.kernel.secret import Secret

if TYPE_CHECKING:
    from libs.sdk.models import Me, Session


async def login(
    *,
    email: str | None = None,
    password: str | None = None,
    password_stdin: Annotated[bool, Parameter(negative="")] = False,
    setup_token: str | None = None,
    name: str = "",
    token: str | None = None,
    as_json: Json = False,
) -> int:
    """Sign in; on a platform without an account, make the first one.

    Parameters
    ----------
    email
        Your e-mail address.
    password
        Your password. Others on this machine may see it; better --password-stdin.
    password_stdin
        Read the password from standard input.
    setup_token
        The one-time token that the platform printed on its first start. Others on this machine may see it; better
        the variable LIGHTRAIL_SETUP_TOKEN.
    name
        Your name, for the first account.
    token
        An API token, instead of e-mail and password.
    """
    if token is not None:
        return await _keep_token(Secret(token.strip()), as_json=as_json)
    async with session.anonymous() as client:
        claimed = (await client.setup_status()).claimed
        if not claimed:
            if not as_json:
                screen.note(f"The platform at {session.api()} has no account yet: this makes the first one.")
            setup_token = (
                setup_token
                or os.environ.get("LIGHTRAIL_SETUP_TOKEN")
                or _asked("One-time set-up token", "LIGHTRAIL_SETUP_TOKEN or --setup-token")
            )
        elif setup_token:
            screen.note("The platform is set up already; the set-up token is not needed.")
        email = email or _asked("E-mail", "--email")
        password = _password(password, from_stdin=password_stdin, new=not claimed)
        with _signing_in():
            if claimed:
                made = await client.login(email, password)
            else:
                made = await client.set_up(setup_token or "", email, password, name)
    store.keep_credential(session.api(), Secret(made.session_token), made.user.email)
    _told(made, as_json=as_json)
    return 0


async def logout(*, as_json: Json = False) -> int:
    """End the session and forget it here."""
    kept = store.credential(session.api())
    if kept is not None:
        async with session.anonymous(kept) as client:
            await client.logout()
    forgotten = store.forget_credential(session.api())
    if as_json:
        screen.emit({"signed_out": forgotten, "api": session.api()})
    else:
        screen.say(f"Signed out of {session.api()}." if forgotten else f"You were not signed in to {session.api()}.")
    return 0


async def whoami(*, as_json: Json = False) -> int:
    """Show who is signed in, where, and with what."""
    async with session.connect() as client:
        me = await client.me()
    if as_json:
        screen.emit({"api": session.api(), **_plain(me)})
        return 0
    screen.say(f"{me.user.email} at {session.api()}{' (operator)' if me.user.operator else ''}")
    for workspace in me.workspaces:
        screen.say(f"  {workspace.name}: {workspace.role}")
    if me.token is not None:
        screen.say(f"  with the token “{me.token.name}” ({me.token.prefix}…)")
    return 0


async def _keep_token(token: Secret[str], *, as_json: bool) -> int:
    """Keeps a token after the platform has recognised it."""
    async with session.anonymous(token) as client:
        with _signing_in():
            me = await client.me()
    store.keep_credential(session.api(), token, me.user.email)
    if as_json:
        screen.emit({"api": session.api(), **_plain(me)})
    else:
        screen.say(f"Signed in to {session.api()} as {me.user.email}.")
    return 0


@contextmanager
def _signing_in() -> Iterator[None]:
    """Runs a try to sign in; its refusal keeps its own advice: to sign in is what was just tried."""
    try:
        yield
    except Denied as failure:
        raise Denied(failure.message, hint=failure.hint) from failure


def _told(made: Session, *, as_json: bool) -> None:
    if as_json:
        screen.emit({"api": session.api(), "user": screen.plain(made.user), "expires_at": made.expires_at})
    else:
        screen.say(f"Signed in to {session.api()} as {made.user.email}.")


def _asked(what: str, option: str) -> str:
    if not screen.can_ask():
        raise Invalid(f"{what} is needed, and there is no terminal to ask on.", hint=f"Give it with {option}.")
    answer = screen.ask(what)
    if not answer:
        raise Invalid(f"{what} is needed.", hint=f"Give it with {option}.")
    return answer


def _password(given: str | None, *, from_stdin: bool, new: bool) -> str:
    if from_stdin:
        given = sys.stdin.readline().rstrip("\r\n")
    if given:
        return given
    if not screen.can_ask() or from_stdin:
        raise Invalid("A password is needed.", hint="Send it to standard input with --password-stdin.")
    answer = getpass.getpass("Password: ", stream=sys.stderr)
    if new and getpass.getpass("Again: ", stream=sys.stderr) != answer:
        raise Invalid("The two passwords are not the same.", hint="Run lr login again.")
    return answer


def _plain(me: Me) -> dict[str, object]:
    value = screen.plain(me)
    return value if isinstance(value, dict) else {}
