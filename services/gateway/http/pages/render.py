"""HTML, made on the server; every value is escaped where it is placed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from html import escape
from http import HTTPStatus
from pathlib import Path
from string import Template
from typing import Final

from fastapi.responses import HTMLResponse

from services.gateway.http.models.deployments import SETTLED, Deployment
from services.gateway.http.models.projects import Project, Service
from services.gateway.http.problems import Problem

_HERE: Final = Path(__file__).parent
_TONES: Final = {"active": "good", "failed": "bad", "crashed": "bad"}
# Seconds until the page looks again: soon while something moves.
_SOON: Final = 3
_LATER: Final = 30


@dataclass(frozen=True, slots=True)
class Placed:
    """A service in an environment, with its newest deployment and the one that serves."""

    service: Service
    newest: Deployment | None
    live: Deployment | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A project and what is in it."""

    project: Project
    services: Sequence[Placed]


def page(
    title: str, body: str, *, nav: str = "", refresh: int = 0, status: int = HTTPStatus.OK, version: str = ""
) -> HTMLResponse:
    """A whole page. `body` and `nav` are HTML; nothing on it may load or run anything from elsewhere."""
    text = _template("page").substitute(
        title=escape(title),
        body=body,
        nav=nav,
        style=_style(),
        version=escape(version),
        refresh=f'<meta http-equiv="refresh" content="{refresh}">' if refresh else "",
    )
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return HTMLResponse(text, status_code=status, headers={"Content-Security-Policy": policy})


def status_page(
    parts: Mapping[str, str],
    *,
    claimed: bool,
    email: str | None,
    shown: Sequence[Shown],
    now: datetime,
    version: str,
) -> HTMLResponse:
    """The parts of the platform, and the caller's projects."""
    away = [name for name, state in parts.items() if state != "ready"]
    heading = "Everything is running" if not away else f"{_listed(away)} {'is' if len(away) == 1 else 'are'} away"
    body = [f"<h1>{escape(heading)}</h1>", _introduction(claimed=claimed, email=email, away=bool(away))]
    body.append("<h2>Platform</h2>" + _parts(parts))
    moving = False
    if email is not None:
        body.append("<h2>Projects</h2>")
        body += [_project(project, now) for project in shown] or [_first_steps()]
        newest = [placed.newest for project in shown for placed in project.services if placed.newest]
        moving = any(deployment.state not in SETTLED for deployment in newest)
    nav = _signed_in(email) if email is not None else ('<a href="/login">Sign in</a>' if claimed else "")
    refresh = _SOON if moving or away else _LATER
    return page("Lightrail", "".join(body), nav=nav, refresh=refresh, version=version)


def login_page(*, problem: Problem | None = None, email: str = "", version: str = "") -> HTMLResponse:
    """The form to sign in."""
    body = _template("login").substitute(
        refusal=_refusal(problem), email=escape(email), **_first({"email": email, "password": ""})
    )
    return page("Sign in · Lightrail", body, status=problem.status if problem else HTTPStatus.OK, version=version)


def setup_page(fields: Mapping[str, str], *, problem: Problem | None = None, version: str = "") -> HTMLResponse:
    """The form for the first account; `fields` are what was typed so far: setup_token, email, name."""
    body = _template("setup").substitute(
        refusal=_refusal(problem),
        token=escape(fields.get("setup_token", "")[:1024]),
        email=escape(fields.get("email", "")[:320]),
        name=escape(fields.get("name", "")[:320]),
        # After a refusal only the password has to be typed again.
        **_first({"token": fields.get("setup_token", ""), "name": "typed" if problem else "", "password": ""}),
    )
    return page("Set up · Lightrail", body, status=problem.status if problem else HTTPStatus.OK, version=version)


def claimed_page(*, version: str = "") -> HTMLResponse:
    """What the set-up page says when there is nothing left to set up."""
    body = """<div class="narrow"><h1>Already set up</h1><p>This platform has its first account.</p>
<p><a href="/login">Sign in</a></p></div>"""
    return page("Set up · Lightrail", body, version=version)


def missing_page(path: str, *, version: str = "") -> HTMLResponse:
    """What a person reads who went where nothing is."""
    body = f"""<div class="narrow"><h1>There is nothing here</h1><p class="soft"><code>{escape(path[:200])}</code> is no
page of this platform.</p><p><a href="/">What runs here</a></p></div>"""
    return page("Nothing here · Lightrail", body, status=HTTPStatus.NOT_FOUND, version=version)


def _first(fields: Mapping[str, str]) -> dict[str, str]:
    """The attribute, for each field, that lets people type at once: on the first that is empty."""
    empty = next((name for name, typed in fields.items() if not typed), "")
    return {f"{name}_first": "autofocus" if name == empty else "" for name in fields}


def _introduction(*, claimed: bool, email: str | None, away: bool) -> str:
    if not claimed and not away:
        return (
            '<p class="notice">This platform has no owner yet. Open the one-time link that was printed on its '
            'first start, or <a href="/setup">enter the token</a>.</p>'
        )
    if email is None and claimed:
        return '<p class="soft"><a href="/login">Sign in</a> to see your projects.</p>'
    return ""


def _parts(parts: Mapping[str, str]) -> str:
    rows = [("gateway", "ready"), *parts.items()]
    chips = [
        f'<span class="part"><span class="dot {"good" if state == "ready" else "bad"}"></span>{escape(name)}'
        f"{'' if state == 'ready' else f'<small>{escape(state)}</small>'}</span>"
        for name, state in rows
    ]
    return f'<div class="parts">{"".join(chips)}</div>'


def _project(shown: Shown, now: datetime) -> str:
    several = len(shown.project.environments) > 1
    rows = [_service(placed, now, several=several) for placed in shown.services]
    inside = "".join(rows) or '<p class="empty soft">No services yet. <code>lr up</code> in a directory makes one.</p>'
    environments = " · ".join(escape(environment.name) for environment in shown.project.environments)
    return (
        f'<section class="card"><div class="head"><h3>{escape(shown.project.name)}</h3>'
        f'<span class="env">{environments}</span></div>{inside}</section>'
    )


def _service(placed: Placed, now: datetime, *, several: bool) -> str:
    service, newest = placed.service, placed.newest
    environment = f' <span class="env">{escape(service.environment_name)}</span>' if several else ""
    state = newest.state if newest else "not deployed"
    tone = _TONES.get(state, "busy" if newest and state not in SETTLED else "")
    url = placed.live.url if placed.live else None
    link = f'<a href="{escape(url)}">{escape(url.removeprefix("http://"))}</a>' if url else ""
    when = ago(now, newest.created_at) if newest else ""
    wrong = newest is not None and state in ("failed", "crashed") and newest.reason
    reason = f'<p class="reason">{escape(newest.reason or "")}</p>' if newest and wrong else ""
    return (
        f'<div class="row"><span class="name">{escape(service.name)}{environment}</span>'
        f'<span><span class="badge {tone}">{escape(state)}</span></span>'
        f'<span class="url">{link}</span><span class="when">{when}</span>{reason}</div>'
    )


def _first_steps() -> str:
    return (
        '<section class="card"><div class="empty"><h3>Nothing here yet</h3>'
        '<p class="soft">Deploy the directory you are in:</p>'
        "<pre>lr login\nlr up --new my-app</pre></div></section>"
    )


def _signed_in(email: str) -> str:
    return f'<span>{escape(email)}</span><form method="post" action="/logout"><button>Sign out</button></form>'


def _refusal(problem: Problem | None) -> str:
    if problem is None:
        return ""
    hint = f" {escape(problem.hint)}" if problem.hint else ""
    return f'<p class="notice bad" role="alert">{escape(problem.detail)}{hint}</p>'


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name.capitalize() if index == 0 else name for index, name in enumerate(names))


def ago(now: datetime, then: datetime) -> str:
    """How long ago, in one short word: "3 min ago"."""
    seconds = max(0, int((now - then).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "just now"


@cache
def _template(name: str) -> Template:
    return Template((_HERE / f"{name}.html").read_text("utf-8"))


@cache
def _style() -> str:
    return (_HERE / "style.css").read_text("utf-8")
