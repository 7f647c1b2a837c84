"""Set-up, login, logout, and who am I."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Request, Response

from libs.kernel.context import Ctx
from libs.kernel.errors import Denied, Exhausted
from libs.protogen.lightrail.auth.v1 import auth_pb2
from services.gateway.app.attempts import Allowance, Attempts
from services.gateway.http.backend import Backend
from services.gateway.http.doors import AUTH, Caller, To, authorized, credential_of, public
from services.gateway.http.guard import remote_address
from services.gateway.http.models.accounts import (
    LoginRequest,
    Me,
    Session,
    SetupRequest,
    SetupStatus,
    User,
    Workspace,
)
from services.gateway.http.wire import moment

router = APIRouter(tags=["session"])


@router.get("/setup", operation_id="getSetupStatus")
async def get_setup_status(caller: Annotated[Caller, public(f"{AUTH}/GetSetupStatus")], to: To) -> SetupStatus:
    """Whether this platform has its first account yet."""
    return SetupStatus(claimed=await is_claimed(to, caller.ctx))


@router.post("/setup", operation_id="completeSetup", status_code=HTTPStatus.CREATED)
async def complete_setup(
    body: SetupRequest,
    request: Request,
    response: Response,
    caller: Annotated[Caller, public(f"{AUTH}/CompleteSetup")],
    to: To,
) -> Session:
    """Makes the first account with the one-time set-up token."""
    return await set_up(body, request, response, caller.ctx, to)


@router.post("/login", operation_id="login")
async def login(
    body: LoginRequest,
    request: Request,
    response: Response,
    caller: Annotated[Caller, public(f"{AUTH}/Login")],
    to: To,
) -> Session:
    """Begins a session. After ten failed attempts an address waits a minute; the headers RateLimit-* tell."""
    return await sign_in(body, request, response, caller.ctx, to)


@router.post("/logout", operation_id="logout", status_code=HTTPStatus.NO_CONTENT)
async def logout(request: Request, caller: Annotated[Caller, public(f"{AUTH}/Logout")], to: To) -> None:
    """Ends the session behind the credential; harmless when there is none."""
    credential = credential_of(request)
    if credential is not None:
        caller.credentials.forget(credential)
        message = auth_pb2.LogoutRequest(session_token=credential.reveal())
        await to.auth.peer.call(to.auth.stub.Logout, message, caller.ctx)


@router.get("/me", operation_id="getMe")
async def get_me(caller: Annotated[Caller, authorized(f"{AUTH}/GetMe")], to: To) -> Me:
    """Who the credential stands for."""
    return Me.of(await to.auth.peer.call(to.auth.stub.GetMe, auth_pb2.GetMeRequest(), caller.ctx))


async def is_claimed(to: Backend, ctx: Ctx) -> bool:
    """Whether the first account exists."""
    answer = await to.auth.peer.call(to.auth.stub.GetSetupStatus, auth_pb2.GetSetupStatusRequest(), ctx)
    return answer.claimed


async def set_up(body: SetupRequest, request: Request, response: Response, ctx: Ctx, to: Backend) -> Session:
    """Makes the first account; failures count as guesses of the set-up token."""
    message = auth_pb2.CompleteSetupRequest(
        setup_token=body.setup_token.strip(), email=body.email.strip(), password=body.password, name=body.name.strip()
    )
    attempts: Attempts = request.app.state.attempts
    with _Guessing(attempts, remote_address(request), response):
        answer = await to.auth.peer.call(to.auth.stub.CompleteSetup, message, ctx)
    return Session(
        session_token=answer.session_token, user=User.of(answer.user), workspace=Workspace.of(answer.workspace)
    )


async def sign_in(body: LoginRequest, request: Request, response: Response, ctx: Ctx, to: Backend) -> Session:
    """Begins a session; failures count as guesses of the password."""
    address = remote_address(request)
    message = auth_pb2.LoginRequest(email=body.email.strip(), password=body.password, remote_address=address)
    with _Guessing(request.app.state.attempts, address, response):
        answer = await to.auth.peer.call(to.auth.stub.Login, message, ctx)
    return Session(
        session_token=answer.session_token, user=User.of(answer.user), expires_at=moment(answer, "expires_at")
    )


class _Guessing:
    """Runs an attempt to get in: refuses the eleventh failure in a minute, counts failures, writes the headers."""

    def __init__(self, attempts: Attempts, address: str, response: Response) -> None:
        self._attempts = attempts
        self._address = address
        self._response = response

    def __enter__(self) -> None:
        left = self._attempts.left(self._address)
        if left.remaining == 0:
            failure = Exhausted(
                "Too many failed attempts from your address.", hint=f"Try again in {left.reset_seconds} seconds."
            )
            raise _with_headers(failure, {**_headers(left), "Retry-After": str(left.reset_seconds)})

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Denied):
            self._attempts.failed(self._address)
        headers = _headers(self._attempts.left(self._address))
        if isinstance(error, Denied | Exhausted):
            _with_headers(error, headers)
        self._response.headers.update(headers)


def _headers(left: Allowance) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(left.limit),
        "RateLimit-Remaining": str(left.remaining),
        "RateLimit-Reset": str(left.reset_seconds),
    }


def _with_headers(failure: Exhausted | Denied, headers: dict[str, str]) -> Exhausted | Denied:
    """Hangs headers on a failure; the problem document goes out with them."""
    failure.__dict__["headers"] = headers
    return failure
