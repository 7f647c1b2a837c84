"""`make demo`: a platform in the background with an example on it, ready to be tried. Harmless to repeat."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from libs.cli import platform_start, screen, session, target
from libs.embedded import files
from libs.embedded.home import Home
from libs.embedded.plan import ROOT
from libs.embedded.settings import Settings
from libs.kernel.errors import Conflict, Failure, Unavailable

if TYPE_CHECKING:
    from libs.sdk.models import Deployment

EXAMPLE: Final = ROOT / "examples" / "guestbook-python"
NAME: Final = "guestbook"
EMAIL: Final = "demo@lightrail.test"
_LR: Final = (sys.executable, "-m", "libs.cli.main")
_ANSWER_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05
_OK: Final = 200
_ACCOUNT: Final = "demo-account.json"


def main() -> int:
    """Returns 0 when the example is live; else 1, after a sentence that says why not."""
    began = time.monotonic()
    os.environ.setdefault("LIGHTRAIL_HOME", str(ROOT / ".lightrail"))
    # A demo shows itself: an address or a token of another platform is not meant.
    for other in ("LIGHTRAIL_API", "LIGHTRAIL_TOKEN"):
        os.environ.pop(other, None)
    try:
        wanted = platform_start.configured(None)
        home = Home(wanted.home)
        with _step("platform"):
            record, is_new = platform_start.start(wanted, _indented)
            if not is_new:
                _indented(f"it is running already ({record.topology})")
        with _step("account"):
            password = _account(home)
        with _step("guestbook"):
            live = _deployed(home, wanted)
    except (Failure, OSError) as failure:
        screen.note(f"\nThe demo stopped: {failure}")
        return 1
    _tell(wanted, live, password, time.monotonic() - began)
    return 0


def _account(home: Home) -> str | None:
    """Signs the CLI in, making the first account when there is none; returns a password that is new."""
    if _lr("whoami", "--json", quiet=True).returncode == 0:
        _indented(f"signed in to {session.api()} already")
        return None
    kept = home.keys / _ACCOUNT
    made = not kept.exists()
    if made:
        files.write_private(kept, json.dumps({"email": EMAIL, "password": secrets.token_urlsafe(12)}) + "\n")
    account = json.loads(kept.read_text())
    token = home.setup_token.read_text().strip()
    arguments = ["login", "--email", account["email"], "--password-stdin", "--name", "Demo"]
    # Arguments are for everybody on this machine to read.
    done = _lr(*arguments, "--json", quiet=True, stdin=account["password"], LIGHTRAIL_SETUP_TOKEN=token)
    if done.returncode != 0:
        if made:
            kept.unlink()
        raise Conflict(
            "This platform belongs to an account that is not the demo's.",
            hint=f"Sign in first: {_command('lr login')}",
        )
    _indented(f"{'made' if made else 'signed in as'} {account['email']}")
    return str(account["password"]) if made else None


def _deployed(home: Home, wanted: Settings) -> Deployment:
    """Deploys the example unless it is live as it lies there; returns the live deployment."""
    memory = home.state / "demo"
    digest = _digest(EXAMPLE)
    live = asyncio.run(_linked())
    known = memory.read_text() if memory.exists() else ""
    if live and known == digest and _status(live.url, wanted.port) == _OK:
        _indented("it is live already, as it lies there")
        return live
    done = _lr("up", str(EXAMPLE))
    live = asyncio.run(_linked())
    if done.returncode != 0 or live is None:
        raise Unavailable("The example did not become live; why is said above.")
    deadline = time.monotonic() + _ANSWER_SECONDS
    while (status := _status(live.url, wanted.port)) != _OK:
        if time.monotonic() > deadline:
            raise Unavailable(f"{live.url} answers {status or 'nothing'} rather than 200.")
        time.sleep(_LOOK_SECONDS)
    files.write_private(memory, digest)
    return live


async def _linked() -> Deployment | None:
    """Makes the project and the service where they are missing, links the example; returns what is live of it."""
    async with session.connect() as client:
        named = [project for project in await client.projects() if project.name == NAME]
        project = named[0] if named else await client.create_project(NAME)
        found = [service for service in await client.services(project.id) if service.name == NAME]
        service = found[0] if found else await client.create_service(project.id, NAME)
        target.keep(target.with_service(target.of_project(project), service), EXAMPLE)
        deployments = await client.deployments(service_id=service.id)
    return next((row for row in deployments if row.state == "active"), None)


def _status(url: str | None, port: int) -> int:
    """What the edge answers for the app; 0 for nothing. Asked by address: not every machine resolves *.localhost."""
    host = urlsplit(url or "").netloc
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/", headers={"Host": host})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _digest(directory: Path) -> str:
    """A digest of what would be deployed: names and contents."""
    whole = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            whole.update(f"{path.relative_to(directory)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return whole.hexdigest()


def _lr(*arguments: str, quiet: bool = False, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `lr` as a person would; quiet: what it says is in the result, not on the screen."""
    environ = {**os.environ, **variables}
    return subprocess.run(  # noqa: S603 - the platform's own CLI
        [*_LR, *arguments], input=stdin, text=True, capture_output=quiet, cwd=ROOT, env=environ, check=False
    )


def _tell(wanted: Settings, live: Deployment, password: str | None, seconds: float) -> None:
    screen.say(f"\nEverything is there, after {seconds:.1f} s, and goes on running.\n")
    screen.say(f"  the app             {live.url}")
    screen.say(f"  API and dashboard   {wanted.url}  (reference: {wanted.url}/api/v1/docs)")
    if password:
        screen.say(f"  account             {EMAIL}, password {password}")
        screen.say(
            f"                      (shown once; kept in {Home(wanted.home).keys / _ACCOUNT}, for your eyes only)"
        )
    screen.say("\nTry next:")
    for command, what in (
        (f"lr up {EXAMPLE.relative_to(ROOT)}", "after changing a line in it: the new version, nobody notices"),
        (f"lr platform trace {live.id}", "what happened to this deployment, across services"),
        ("lr platform status", "what runs, and what it costs; make down stops it"),
    ):
        screen.say(f"  {_command(command)}\n      {what}")


def _command(command: str) -> str:
    """A command that can be pasted: with the settings that differ from the defaults."""
    names = ("LIGHTRAIL_PORT", "LIGHTRAIL_CONFIG_DIR", *(("LIGHTRAIL_HOME",) if "platform s" in command else ()))
    own = "".join(f"{name}={shlex.quote(os.environ[name])} " for name in names if os.environ.get(name))
    return f"{own}.venv/bin/{command}"


@contextmanager
def _step(name: str) -> Iterator[None]:
    began = time.monotonic()
    screen.say(screen.styled(name, "bold"))
    yield
    screen.say(f"  {screen.styled('✓', 'green')} {name} after {time.monotonic() - began:.2f} s")


def _indented(line: str) -> None:
    screen.say(f"  {line}")


if __name__ == "__main__":
    raise SystemExit(main())
