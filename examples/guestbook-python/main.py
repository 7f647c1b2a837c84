"""A guestbook: one page, one form, entries in an SQLite file in the working directory."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.templating import Jinja2Templates

GREETING = "Welcome to the guestbook"
TITLE = os.environ.get("GUESTBOOK_TITLE", "Guestbook")
FILE = Path(os.environ.get("GUESTBOOK_FILE", "guestbook.db"))


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(FILE)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


@asynccontextmanager
async def lifespan(_: FastAPI):
    with database() as connection:
        connection.execute("create table if not exists entries (id integer primary key, name text, message text)")
    print("guestbook is open", flush=True)
    yield
    print("guestbook is closed", flush=True)


app = FastAPI(title="Guestbook", lifespan=lifespan)
templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


@app.get("/", response_class=HTMLResponse)
def page(request: Request) -> HTMLResponse:
    with database() as connection:
        entries = connection.execute("select name, message from entries order by id desc limit 50").fetchall()
    return templates.TemplateResponse(
        request, "page.html", {"title": TITLE, "greeting": GREETING, "entries": entries}
    )


@app.post("/entries")
def sign(name: Annotated[str, Form(max_length=80)], message: Annotated[str, Form(max_length=500)]) -> RedirectResponse:
    with database() as connection:
        connection.execute("insert into entries (name, message) values (?, ?)", (name, message))
    print(f"entry from {name}", flush=True)
    return RedirectResponse("/", status_code=303)


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}
