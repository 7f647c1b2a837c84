"""The door for git: user name and password as git asks people for them, or an API token as the password."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

from fastapi import Depends, Request

from libs.kernel.context import Actor, Ctx
from libs.kernel.errors import Denied, Exhausted, Invalid
from libs.kernel.secret import Secret
from libs.protogen.lightrail.auth.v1 import auth_pb2
from services.gateway.app.attempts import Attempts
from services.gateway.app.credentials import Credentials
from services.gateway.http.backend import Backend
from services.gateway.http.doors import LONGEST_CREDENTIAL, Caller, Row, context_of, declare
from services.gateway.http.guard import remote_address

REALM: Final = 'Basic realm="Lightrail: any name and an API token, or e-mail and password"'
WANTED: Final = "git needs any name and an API token here (lr tokens create NAME), or your e-mail and password."
# How sessions and API tokens begin; whatever else is a password.
_CREDENTIALS: Final = ("lr_", "ls_")


@cache
def basic(rpc: str) -> Any:  # noqa: ANN401 - FastAPI's marker
    """A dependency that admits whom auth lets call `rpc`, by HTTP's basic authentication, and gives the Caller."""

    async def admit(request: Request) -> AsyncIterator[Caller]:
        name, password = _given(request)
        async with _credential(request, name, password) as credential:
            credentials: Credentials = request.app.state.credentials
            try:
                admission = await credentials.admit(credential, rpc)
            except Denied as refused:
                raise _asked(refused) from refused
            yield Caller(context_of(request, admission.actor), rpc, credential, credentials)

    declare(admit, Row(rpc))
    return Depends(admit)


def _given(request: Request) -> tuple[str, Secret[str]]:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    try:
        text = base64.b64decode(value.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, ValueError):
        text = ""
    name, _, password = text.partition(":")
    if not password or len(text) > 2 * LONGEST_CREDENTIAL:
        raise _asked(Denied(WANTED, unauthenticated=True))
    return name, Secret(password)


@asynccontextmanager
async def _credential(request: Request, name: str, password: Secret[str]) -> AsyncIterator[Secret[str]]:
    """The token itself, or a session for as long as the request lasts."""
    if password.reveal().startswith(_CREDENTIALS):
        yield password
        return
    to: Backend = request.app.state.backend
    ctx = context_of(request, Actor(kind="anonymous"))
    session = await _login(request, to, ctx, name, password)
    try:
        yield session
    finally:
        request.app.state.credentials.forget(session)
        await to.auth.peer.call(to.auth.stub.Logout, auth_pb2.LogoutRequest(session_token=session.reveal()), ctx)


async def _login(request: Request, to: Backend, ctx: Ctx, name: str, password: Secret[str]) -> Secret[str]:
    attempts: Attempts = request.app.state.attempts
    address = remote_address(request)
    left = attempts.left(address)
    if left.remaining == 0:
        raise Exhausted(
            "Too many failed attempts from your address.", hint=f"Try again in {left.reset_seconds} seconds."
        )
    message = auth_pb2.LoginRequest(email=name.strip(), password=password.reveal(), remote_address=address)
    try:
        answer = await to.auth.peer.call(to.auth.stub.Login, message, ctx)
    except Invalid as refused:
        # A user name that is no e-mail address: git asks again, and forgets what it has kept.
        attempts.failed(address)
        raise _asked(Denied(WANTED, unauthenticated=True)) from refused
    except Denied as refused:
        attempts.failed(address)
        raise _asked(refused) from refused
    return Secret(answer.session_token)


def _asked(refused: Denied) -> Denied:
    """The refusal, as one after which git asks for a name and a password when they may help."""
    if refused.unauthenticated:
        refused.__dict__["headers"] = {"WWW-Authenticate": REALM}
    return refused
