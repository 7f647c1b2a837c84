"""The status page, and the forms to sign in and to set up; until there is a dashboard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from libs.kernel.context import Actor, Ctx
from libs.kernel.errors import Denied, Failure, Unavailable
from libs.kernel.secret import Secret
from libs.protogen.lightrail.auth.v1 import auth_pb2
from libs.protogen.lightrail.common.v1 import common_pb2
from libs.protogen.lightrail.deploy.v1 import deploy_pb2
from libs.protogen.lightrail.project.v1 import project_pb2
from services.gateway.http.backend import Backend
from services.gateway.http.doors import AUTH, COOKIE, PROJECT, Caller, To, public, visitor
from services.gateway.http.models.accounts import LoginRequest, Session, SetupRequest
from services.gateway.http.models.deployments import Deployment
from services.gateway.http.models.projects import Project, Service
from services.gateway.http.pages.render import (
    Placed,
    Shown,
    claimed_page,
    login_page,
    missing_page,
    setup_page,
    status_page,
)
from services.gateway.http.problems import Problem, of_failure, on_http, problem, request_id_of
from services.gateway.http.routes.operations import health_of
from services.gateway.http.routes.session import is_claimed, set_up, sign_in

router = APIRouter(include_in_schema=False)
# What one page shows; the CLI lists everything.
MOST_PROJECTS: Final = 20
# Seconds each question behind the page may take.
PATIENCE: Final = 3.0


@router.get("/")
async def get_status_page(
    request: Request, caller: Annotated[Caller | None, visitor(f"{PROJECT}/ListProjects")], to: To
) -> Response:
    """The platform's parts; for whoever is signed in, their projects and services."""
    state = request.app.state
    parts = await health_of(state.watched)
    email: str | None = None
    shown: Sequence[Shown] = ()
    claimed = True
    nobody = Ctx(actor=Actor(kind="anonymous"))
    if parts.get("auth") == "ready":
        if caller is not None:
            email = await _email(to, caller.ctx)
            shown = await _projects(to, caller.ctx, state.edge_port)
        else:
            claimed = await is_claimed(to, nobody)
    return status_page(
        parts, claimed=claimed, email=email, shown=shown, now=state.clock.now(), version=request.app.version
    )


@router.get("/login")
async def get_login(request: Request, _caller: Annotated[Caller, public(f"{AUTH}/Login")]) -> Response:
    """The form to sign in."""
    return login_page(version=request.app.version)


@router.post("/login")
async def post_login(request: Request, caller: Annotated[Caller, public(f"{AUTH}/Login")], to: To) -> Response:
    """Signs in and returns to the status page."""
    form = await _form(request)
    answer = RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER)
    try:
        _same_origin(request)
        body = LoginRequest(email=form.get("email", ""), password=form.get("password", ""))
        session = await sign_in(body, request, answer, caller.ctx, to)
    except (Failure, ValidationError) as error:
        return login_page(
            problem=_problem(error, request), email=form.get("email", "")[:320], version=request.app.version
        )
    return _remembered(request, answer, session)


@router.get("/setup")
async def get_setup(request: Request, caller: Annotated[Caller, public(f"{AUTH}/GetSetupStatus")], to: To) -> Response:
    """The form for the first account, with the token from the link filled in."""
    if await is_claimed(to, caller.ctx):
        return claimed_page(version=request.app.version)
    return setup_page({"setup_token": request.query_params.get("token", "")}, version=request.app.version)


@router.post("/setup")
async def post_setup(request: Request, caller: Annotated[Caller, public(f"{AUTH}/CompleteSetup")], to: To) -> Response:
    """Makes the first account and signs it in."""
    form = await _form(request)
    fields = {name: form.get(name, "") for name in ("setup_token", "email", "password", "name")}
    answer = RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER)
    try:
        _same_origin(request)
        session = await set_up(SetupRequest(**fields), request, answer, caller.ctx, to)
    except (Failure, ValidationError) as error:
        return setup_page(fields, problem=_problem(error, request), version=request.app.version)
    return _remembered(request, answer, session)


@router.post("/logout")
async def post_logout(request: Request, caller: Annotated[Caller, public(f"{AUTH}/Logout")], to: To) -> Response:
    """Ends the session of the cookie."""
    _same_origin(request)
    session = request.cookies.get(COOKIE, "")
    if session and session.isascii():
        caller.credentials.forget(Secret(session))
        message = auth_pb2.LogoutRequest(session_token=session[:512])
        await to.auth.peer.call(to.auth.stub.Logout, message, caller.ctx, timeout=PATIENCE)
    answer = RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE, path="/")
    return answer


def install(app: FastAPI) -> None:
    """Makes people who go where nothing is read a page; programs, and all of the API, get problem documents."""
    app.add_exception_handler(HTTPException, _on_http)


async def _on_http(request: Request, error: Exception) -> Response:
    path = request.url.path
    missing = isinstance(error, HTTPException) and error.status_code == HTTPStatus.NOT_FOUND
    if missing and "text/html" in request.headers.get("accept", "") and not path.startswith("/api/"):
        return missing_page(path, version=request.app.version)
    return await on_http(request, error)


async def _email(to: Backend, ctx: Ctx) -> str | None:
    try:
        me = await to.auth.peer.call(to.auth.stub.GetMe, auth_pb2.GetMeRequest(), ctx, timeout=PATIENCE)
    except (Denied, Unavailable):
        return None
    return me.user.email or me.token.name


async def _projects(to: Backend, ctx: Ctx, edge_port: int) -> Sequence[Shown]:
    """Projects with their services; empty while a part that knows them is away."""
    message = project_pb2.ListProjectsRequest(page=common_pb2.Page(limit=MOST_PROJECTS))
    try:
        answer = await to.project.peer.call(to.project.stub.ListProjects, message, ctx, timeout=PATIENCE)
        return await asyncio.gather(*(_shown(to, ctx, Project.of(row), edge_port) for row in answer.projects))
    except (Denied, Unavailable):
        return ()


async def _shown(to: Backend, ctx: Ctx, project: Project, edge_port: int) -> Shown:
    deployments, services = await asyncio.gather(_deployments(to, ctx, project), _services(to, ctx, project, edge_port))
    newest: dict[tuple[str, str], Deployment] = {}
    live: dict[tuple[str, str], Deployment] = {}
    for deployment in deployments:
        key = (deployment.service_id, deployment.environment_id)
        newest.setdefault(key, deployment)
        if deployment.state == "active":
            live.setdefault(key, deployment)
    keys = [(service.id, service.environment_id) for service in services]
    rows = zip(services, keys, strict=True)
    return Shown(project, [Placed(service, newest.get(key), live.get(key)) for service, key in rows])


async def _deployments(to: Backend, ctx: Ctx, project: Project) -> list[Deployment]:
    """The project's newest deployments, newest first."""
    message = deploy_pb2.ListDeploymentsRequest(project_id=project.id, page=common_pb2.Page(limit=200))
    answer = await to.deploy.peer.call(to.deploy.stub.ListDeployments, message, ctx, timeout=PATIENCE)
    return [Deployment.of(row) for row in answer.deployments]


async def _services(to: Backend, ctx: Ctx, project: Project, edge_port: int) -> list[Service]:
    """The project's services, once for each environment."""

    async def within(environment_id: str) -> list[Service]:
        message = project_pb2.ListServicesRequest(project_id=project.id, environment_id=environment_id)
        answer = await to.project.peer.call(to.project.stub.ListServices, message, ctx, timeout=PATIENCE)
        return [Service.of(row, edge_port=edge_port) for row in answer.services]

    found = await asyncio.gather(*(within(environment.id) for environment in project.environments))
    return [service for services in found for service in services]


async def _form(request: Request) -> dict[str, str]:
    """The fields of a posted form."""
    text = (await request.body()).decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=20))


def _same_origin(request: Request) -> None:
    """Passes forms of this page only. Apps live on sibling names, which cookies do not tell apart."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    foreign = site not in (None, "same-origin", "none") or (
        origin not in (None, "null") and str(origin).partition("://")[2] != request.headers.get("host", "")
    )
    if foreign:
        raise Denied("This form was sent from another site.", hint="Open this platform's own page and try again.")


def _problem(error: Failure | ValidationError, request: Request) -> Problem:
    if isinstance(error, Failure):
        return of_failure(error, request_id_of(request))
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else "form"
    detail = f"{field.replace('_', ' ').capitalize()}: {first['msg'].removeprefix('Value error, ')}."
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field=field, request_id=request_id_of(request))


def _remembered(request: Request, answer: Response, session: Session) -> Response:
    age = (session.expires_at - request.app.state.clock.now()).total_seconds() if session.expires_at else None
    answer.set_cookie(
        COOKIE,
        session.session_token,
        max_age=int(age) if age and age > 0 else None,
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.headers.get("x-forwarded-proto") == "https",
    )
    return answer
