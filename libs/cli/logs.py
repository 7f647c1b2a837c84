"""`lr logs`: what a service prints, or how it was built."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from libs.cli import screen, session, target
from libs.cli.session import EnvironmentName, Json, ServiceName
from libs.kernel.errors import Invalid, NotFound

if TYPE_CHECKING:
    from libs.sdk.client import Client
    from libs.sdk.models import LogLine

# How many of the last lines are shown unless the caller says, and how many the platform gives.
_UNASKED: Final = 1000
_MOST: Final = 5000


async def logs(
    deployment: str | None = None,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    build: Annotated[bool, Parameter(name=["--build", "-b"], negative="")] = False,
    lines: Annotated[int | None, Parameter(name=["--lines", "-n"])] = None,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    as_json: Json = False,
) -> int:
    """Show what the service prints.

    Parameters
    ----------
    deployment
        Only this deployment; else the service over all of them (with --build: the newest).
    follow
        Go on with what comes, until Ctrl-C.
    build
        The build's log instead.
    lines
        How many of the last lines: 1000 unless given; with --build all of them.
    """
    if lines is not None and not 1 <= lines <= _MOST:
        raise Invalid(f"--lines is {lines}, which is no number from 1 to {_MOST}.", hint="As in: lr logs -n 100")
    async with session.connect() as client:
        service_id = environment_id = ""
        if deployment is None:
            found = await target.find_service(client, service=service, environment=environment)
            service_id, environment_id = found.service_id, found.environment_id
            if build:
                newest = await client.deployments(service_id=service_id, environment_id=environment_id, limit=1)
                if not newest:
                    raise NotFound(f"{found.service_name} was never deployed.", hint="Deploy it with: lr up")
                deployment = newest[0].id
        else:
            target.deployment_id(deployment)
        if build:
            await _build(client, deployment or "", follow=follow, tail=lines or 0, as_json=as_json)
            return 0
        stream = client.logs(
            service_id=service_id,
            environment_id=environment_id,
            deployment_id=deployment or "",
            follow=follow,
            tail=lines or _UNASKED,
        )
        silent = True
        async with aclosing(stream) as found_lines:
            async for line in found_lines:
                silent = False
                _show(line, as_json=as_json)
        if silent and service_id:
            known = await client.deployments(service_id=service_id, environment_id=environment_id, limit=1)
            screen.note("It has printed nothing yet." if known else "It was never deployed. Deploy it with: lr up")
    return 0


async def _build(client: Client, deployment_id: str, *, follow: bool, tail: int, as_json: bool) -> None:
    async with aclosing(client.build_log(deployment_id, follow=follow, tail=tail)) as lines:
        async for line in lines:
            if as_json:
                screen.emit_line(line)
            else:
                screen.say(f"{screen.styled(line.step.ljust(8), 'cyan')}{line.text}")


def _show(line: LogLine, *, as_json: bool) -> None:
    if as_json:
        screen.emit_line(line)
        return
    text = screen.styled(line.text, "yellow") if line.stream == "platform" else line.text
    if screen.is_terminal():
        clock = line.time.astimezone().strftime("%H:%M:%S")
        text = f"{screen.styled(clock, 'dim')} {text}"
    screen.say(text)
