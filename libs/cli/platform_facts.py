"""`lr platform trace` and `lr platform deadletters`: what services told each other, and what they could not take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from cyclopts import App

from libs.cli import screen, session, target
from libs.cli.session import Json
from libs.kernel.errors import Conflict, NotFound

if TYPE_CHECKING:
    from libs.sdk.models import Event

deadletters = App(name="deadletters", help="Facts that a service could not react to.")
_LONGEST: Final = 100
# Said by the deployment the line is about, on every line: left out.
_OBVIOUS: Final = {"deployment_id", "workspace_id", "project_id", "environment_id", "service_id"}


async def trace(deployment: str, /, *, as_json: Json = False) -> int:
    """Print what happened to one deployment, across all services, in order.

    Parameters
    ----------
    deployment
        The deployment's id; lr deployments lists them.
    """
    wanted = target.deployment_id(deployment)
    async with session.connect() as client:
        found = await client.timeline(wanted)
    if as_json:
        screen.emit(found)
        return 0
    if found.events:
        first = found.events[0].time
        screen.say(f"{wanted}, from {screen.moment(first)}")
        rows = [
            (f"{(event.time - first).total_seconds():.3f} s", event.source, _short(event.type), _details(event))
            for event in found.events
        ]
        screen.table(("AFTER", "SERVICE", "WHAT", "DETAILS"), rows)
    else:
        screen.say(f"Nothing is known about {wanted}.")
    _missing(found.missing)
    return 0


@deadletters.command(name="list")
async def list_dead(*, as_json: Json = False) -> int:
    """List them, with the reason of each. For operators."""
    async with session.connect() as client:
        found = await client.dead_letters()
    if as_json:
        screen.emit(found)
        return 0
    if found.items:
        screen.table(
            ("SERVICE", "FACT", "WHAT", "TRIES", "SINCE", "REASON"),
            [
                (
                    row.source,
                    row.fact_id,
                    _short(row.event.type),
                    str(row.attempts),
                    screen.moment(row.died_at),
                    row.reason,
                )
                for row in found.items
            ],
        )
        screen.say("Try one again with: lr platform deadletters replay FACT")
    else:
        screen.say("There are none.")
    _missing(found.missing)
    return 0


@deadletters.command
async def replay(fact: str, /, *, source: str | None = None, as_json: Json = False) -> int:
    """Let a service react to a fact again. For operators.

    Parameters
    ----------
    fact
        The fact's id, as the list shows it.
    source
        The service that could not react; needed only when more than one could not.
    """
    async with session.connect() as client:
        found = await client.dead_letters()
        services = [row.source for row in found.items if row.fact_id == fact and source in (None, row.source)]
        if not services:
            raise NotFound(f"There is no dead letter of the fact {fact}.", hint="See: lr platform deadletters list")
        if len(services) > 1:
            raise Conflict(f"{', '.join(services)} could not react to {fact}.", hint="Say which with --source SERVICE.")
        await client.replay_dead_letter(services[0], fact)
    if as_json:
        screen.emit({"source": services[0], "fact_id": fact, "replayed": True})
    else:
        screen.say(f"{services[0]} reacts to {fact} again.")
    return 0


def _short(subject: str) -> str:
    """The noun and the verb of a subject: "deployment.went_live"."""
    return ".".join(part for part in subject.split(".")[2:] if part != "v1") or subject


def _details(event: Event) -> str:
    told = {
        name: value for name, value in event.data.items() if name not in _OBVIOUS and value not in ("", None, [], {})
    }
    text = ", ".join(
        f"{name} {value}" if isinstance(value, str | int | float) else f"{name} {json.dumps(value)}"
        for name, value in told.items()
    )
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _missing(services: list[str]) -> None:
    if services:
        screen.note(f"Not asked, as they do not answer: {', '.join(services)}.")
