"""The public API's description, as it was last agreed to.

`python -m pytest tests/golden/test_openapi.py --golden-update` writes what the API is today.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from libs.kernel.secret import Secret
from libs.rpc import Identity, Peer
from libs.testing.clock import VirtualClock
from services.gateway.adapters.auth import AuthDoorkeeper
from services.gateway.adapters.facts import PeerFactSources
from services.gateway.app.attempts import Attempts
from services.gateway.app.credentials import Credentials
from services.gateway.app.feed import Feed
from services.gateway.events.codec import decode
from services.gateway.http.api import Parts, create_app
from services.gateway.http.backend import Backend

CASE = Path(__file__).parent / "cases" / "openapi" / "openapi.json"
METHODS = ("get", "put", "post", "patch", "delete")


@pytest_asyncio.fixture
async def document(identity: Identity) -> AsyncIterator[dict[str, Any]]:
    clock = VirtualClock()
    peer = Peer("127.0.0.1:9", identity, clock)
    parts = Parts(
        backend=Backend(lambda _name: peer),
        credentials=Credentials(AuthDoorkeeper(peer, lambda text: identity.verify(text, now=clock.now())), clock),
        attempts=Attempts(clock),
        feed=Feed(),
        sources=PeerFactSources({}, decode),
        watched={},
        clock=clock,
        edge_port=8080,
        edge_token=Secret(""),
        snapshot_limit=1,
        stopping=asyncio.Event(),
    )
    made: dict[str, Any] = json.loads(json.dumps(create_app(parts).openapi()))
    # The number of a release changes nothing about what is promised.
    made["info"]["version"] = "0"
    yield made
    assert isinstance(peer.channel, grpc.aio.Channel)
    await peer.close()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


async def test_the_api_is_what_was_agreed(document: dict[str, Any], request: pytest.FixtureRequest) -> None:
    told = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if request.config.getoption("--golden-update"):
        CASE.parent.mkdir(parents=True, exist_ok=True)
        CASE.write_text(told, encoding="utf-8")
    assert json.loads(CASE.read_text(encoding="utf-8")) == document


async def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"


async def test_every_operation_has_its_own_name_a_sentence_and_a_problem(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names)) > 40
    for name, operation in operations(document):
        assert operation["description"].endswith("."), name
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}, name


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in found, reference
            found = found[part]


async def test_what_needs_no_credential_is_a_short_list(document: dict[str, Any]) -> None:
    open_to_all = {operation["operationId"] for _, operation in operations(document) if not operation.get("security")}
    assert open_to_all == {"getHealth", "getSetupStatus", "completeSetup", "login", "logout"}
