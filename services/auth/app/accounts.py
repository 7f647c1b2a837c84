"""Accounts: the first one, made with the set-up token, and those the operator makes."""

from __future__ import annotations

from dataclasses import dataclass

from libs.kernel.context import Ctx, Role
from libs.kernel.errors import Conflict, Denied
from libs.kernel.ids import new_id
from libs.kernel.secret import Secret
from services.auth.app.caller import caller
from services.auth.app.ports import Parts
from services.auth.app.sessions import open_session
from services.auth.app.workspaces import reachable
from services.auth.domain import inputs
from services.auth.domain.facts import UserCreated, WorkspaceCreated
from services.auth.domain.model import Token, User, Workspace


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What somebody wrote to get an account."""

    email: str
    password: str
    # Empty: the part of the address before the @.
    name: str


@dataclass(frozen=True, slots=True)
class Account:
    """A new account and its workspace, which it owns."""

    user: User
    workspace: Workspace


@dataclass(frozen=True, slots=True)
class Me:
    """The caller as they are now."""

    user: User
    workspaces: list[tuple[Workspace, Role]]
    token: Token | None


async def setup_claimed(_ctx: Ctx, parts: Parts) -> bool:
    """Returns whether the first account exists."""
    return await parts.users.claimed()


async def complete_setup(_ctx: Ctx, parts: Parts, setup_token: str, wanted: NewAccount) -> tuple[Account, Secret[str]]:
    """Makes the operator's account, once for ever; returns it with a session.

    Conflict when it was done before, Denied when the set-up token is wrong, Invalid names the input at fault.
    """
    if await parts.users.claimed():
        raise _claimed()
    if not await parts.setup_token.matches(setup_token.strip()):
        raise Denied(
            "The set-up token is wrong.",
            unauthenticated=True,
            hint="The platform printed it when it first started, and keeps it in its keys directory.",
        )
    account, password_hash = await _prepare(parts, wanted, operator=True)
    async with parts.work():
        try:
            await parts.users.claim(account.user.id, account.user.created_at)
        except Conflict:
            raise _claimed() from None
        await _save(parts, account, password_hash)
        session = await open_session(parts, account.user)
    return account, session.secret


async def create_user(_ctx: Ctx, parts: Parts, wanted: NewAccount) -> Account:
    """Makes an account with its own workspace. Conflict when the address has one, Invalid names the input at fault."""
    account, password_hash = await _prepare(parts, wanted, operator=False)
    async with parts.work():
        await _save(parts, account, password_hash)
    return account


async def get_me(ctx: Ctx, parts: Parts) -> Me:
    """Returns the caller, the workspaces their credential reaches, and the token it is, if it is one."""
    who = await caller(ctx, parts)
    return Me(who.user, reachable(ctx, await parts.workspaces.of(who.user.id)), who.token)


async def _prepare(parts: Parts, wanted: NewAccount, *, operator: bool) -> tuple[Account, str]:
    email = inputs.email(wanted.email)
    password = inputs.password(wanted.password, address=email)
    name = inputs.name(wanted.name if wanted.name.strip() else email.partition("@")[0], of="account")
    now = parts.clock.now()
    user = User(new_id("user", parts.clock), email, name, operator, now)
    workspace = Workspace(new_id("workspace", parts.clock), name, now)
    return Account(user, workspace), await parts.passwords.hash(password)


async def _save(parts: Parts, account: Account, password_hash: str) -> None:
    user, workspace = account.user, account.workspace
    try:
        await parts.users.add(user, password_hash)
    except Conflict:
        raise Conflict(f"There is already an account for {user.email}.") from None
    await parts.workspaces.add(workspace, user.id)
    await parts.facts.record(UserCreated(user.id, user.email, workspace.id))
    await parts.facts.record(WorkspaceCreated(workspace.id, workspace.name))


def _claimed() -> Conflict:
    return Conflict(
        "This platform is already set up: its first account exists.",
        hint="Sign in with it, or ask the operator for an account.",
    )
