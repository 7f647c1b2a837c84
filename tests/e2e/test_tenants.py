"""What belongs to another workspace does not exist: every REST route, generated from the API's own description.

Each request that must find nothing has a twin that must find something: the same request with one's own ids.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from itertools import count

import httpx2
import pytest

from libs.testing.tenancy import foreign
from tests.e2e import archives, parties
from tests.e2e.parties import VARIABLE, Party, Two
from tests.e2e.platform import Json, Platform

METHODS = {"get", "post", "put", "patch", "delete"}
OPERATORS_ONLY = {"createUser", "listDeadLetters", "replayDeadLetter", "getCollection", "collect"}
# A route of tomorrow that takes no id has to say here why it shows nothing of anyone else.
WITHOUT_IDS = {
    "getHealth": "names of parts and whether they answer",
    "getSetupStatus": "whether there is an account at all",
    "completeSetup": "makes the first account, once",
    "login": "the password says whose session it is",
    "logout": "ends the session it comes with",
    "getMe": "the caller, and the workspaces they are in",
    "listWorkspaces": "those the caller is in",
    "createWorkspace": "makes a new one, which is the caller's",
    "listTokens": "the caller's own",
    "createUser": "only for operators",
    "listDeadLetters": "only for operators",
    "getCollection": "only for operators",
    "collect": "only for operators",
    "getProvenanceKey": "the platform's public key",
    "getArtifactProvenance": "only what builds of the caller's own made, whatever digest is asked for",
}
# What a path or a body holds besides ids.
PLAIN: dict[str, Json] = {
    "name": VARIABLE,
    "source": "deploy",
    "digest": "sha256:" + "0" * 64,
    "values": {VARIABLE: "1"},
    "role": "viewer",
    "password": "long enough to be one",
    "setup_token": "not the one that was printed",
}
_numbers = count()


@dataclass(frozen=True)
class Operation:
    """One operation of the API, with the ids it takes."""

    id: str
    method: str
    path: str
    in_path: tuple[str, ...]
    in_query: tuple[str, ...]
    in_body: tuple[str, ...]
    # Other fields that the body must have.
    body: tuple[str, ...]
    # It has a body of JSON, even when no field of it must be there.
    told: bool
    uploads: bool
    listing: bool

    @property
    def shapes(self) -> list[tuple[str, ...]]:
        """Sets of ids to ask with: all, and for what is read, each that may be left out alone."""
        everything = (*self.in_path, *self.in_query, *self.in_body)
        if self.method != "GET":
            return [everything]
        alone = [(*self.in_path, name) for name in self.in_query]
        return list(dict.fromkeys([everything, *alone]))

    @property
    def ends(self) -> bool:
        """Whether it deletes something."""
        return self.method == "DELETE"

    def request(self, ids: Mapping[str, str], bystander: str) -> dict[str, Json]:
        """Arguments of a request with these ids that is right in everything else."""
        path = re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1]) or PLAIN[found[1]], self.path)
        made: dict[str, Json] = {
            "method": self.method,
            "url": path,
            "params": {name: ids[name] for name in self.in_query if name in ids},
        }
        if self.uploads:
            return made | {"content": archives.honest(), "headers": {"Content-Type": "application/gzip"}}
        if self.told:
            given = {"name": f"n{next(_numbers)}", "email": bystander}
            plain = {name: given.get(name) or PLAIN[name] for name in self.body}
            made["json"] = plain | {name: ids[name] for name in self.in_body if name in ids}
        return made


@dataclass(frozen=True)
class Answer:
    """What came back; of a stream of events only that it began."""

    status: int
    text: str
    json: Json


@dataclass
class Api:
    """The API with its own description of itself."""

    http: httpx2.AsyncClient
    operations: list[Operation]
    both: Two

    def taking_ids(self) -> list[Operation]:
        """Operations for everybody that take ids; those that delete come last."""
        taking = [one for one in self.operations if one.shapes[0] and one.id not in OPERATORS_ONLY]
        return sorted(taking, key=lambda one: one.ends)

    async def ask(self, operation: Operation, ids: Mapping[str, str], token: str) -> Answer:
        """Sends one request."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = operation.request(ids, self.both.bystander)
        request["headers"] = request.get("headers", {}) | headers
        async with self.http.stream(**request) as answer:
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                return Answer(answer.status_code, "", {})
            await answer.aread()
            plain = answer.headers.get("content-type", "").endswith("json")
            return Answer(
                answer.status_code, answer.text + str(answer.headers), answer.json() if plain and answer.content else {}
            )

    async def own(self, operation: Operation, shape: tuple[str, ...], party: Party) -> Answer:
        """Sends a request of this shape as whoever owns what it names."""
        ids = await party.fresh() if operation.ends else party.ids
        return await self.ask(operation, {name: ids[name] for name in shape}, party.token)


def described(description: Json) -> list[Operation]:
    """Reads the operations of an OpenAPI description."""

    def resolve(schema: Json) -> Json:
        while "$ref" in schema:
            schema = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def ids(names: list[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name.endswith("_id"))

    found = []
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            if method not in METHODS:
                continue
            places: dict[str, list[str]] = {"path": [], "query": [], "header": []}
            for parameter in operation.get("parameters", []):
                places[parameter["in"]].append(parameter["name"])
            content = operation.get("requestBody", {}).get("content", {})
            schema = resolve(content["application/json"]["schema"]) if "application/json" in content else {}
            body = ids(list(schema.get("properties", {})))
            found.append(
                Operation(
                    id=operation["operationId"],
                    method=method.upper(),
                    path=path,
                    in_path=ids(places["path"]),
                    in_query=ids(places["query"]),
                    in_body=body,
                    body=tuple(name for name in schema.get("required", []) if name not in body),
                    told=bool(schema),
                    uploads=bool(content) and not schema,
                    listing=method == "get" and "{" not in path,
                )
            )
    return found


@pytest.fixture
async def api(platform: Platform, both: Two) -> AsyncIterator[Api]:
    description = await platform.api("GET", "/openapi.json", token="")
    async with httpx2.AsyncClient(base_url=platform.url, timeout=30) as http:
        yield Api(http, described(description), both)


def test_every_operation_takes_ids_or_says_why_not(api: Api) -> None:
    assert {one.id for one in api.operations if not one.shapes[0]} == set(WITHOUT_IDS)
    assert {one.id for one in api.operations} >= OPERATORS_ONLY
    named = {name for one in api.taking_ids() for name in one.shapes[0]}
    assert named == set(api.both.owner.ids)
    assert len({one.id for one in api.operations}) == len(api.operations)


async def test_another_workspaces_ids_do_not_exist_on_any_route(api: Api) -> None:
    owner, stranger = api.both.owner, api.both.stranger
    wrong = []
    for operation in api.taking_ids():
        for shape in operation.shapes:
            for ids in foreign(shape, stranger.ids, owner.ids):
                answer = await api.ask(operation, ids, stranger.token)
                theirs = [name for name in ids if ids[name] == owner.ids[name]]
                if answer.status != 404:
                    wrong.append(f"{operation.id} with another's {theirs}: {answer.status} {answer.text[:200]}")
                if leaks := owner.leaks(answer.text, ids):
                    wrong.append(f"{operation.id} with another's {theirs} shows {leaks}")
    assert wrong == []


async def test_what_is_not_yours_and_what_is_not_there_are_refused_alike(api: Api) -> None:
    absent = parties.nothing()
    for operation in api.taking_ids():
        said = []
        for ids in (api.both.owner.ids, absent):
            sent = {name: ids[name] for name in operation.shapes[0]}
            answer = await api.ask(operation, sent, api.both.stranger.token)
            told = str([answer.status, *(answer.json[part] for part in ("type", "title", "detail"))])
            for name, value in sent.items():
                told = told.replace(value, name)
            said.append(told)
        assert said[0] == said[1], operation.id


@pytest.mark.parametrize("text", ["nonsense", "svc_", "💥" * 90], ids=["word", "prefix", "long"])
async def test_what_is_no_id_is_refused_with_a_sentence(api: Api, text: str) -> None:
    for operation in api.taking_ids():
        ids = dict.fromkeys(operation.shapes[0], text)
        answer = await api.ask(operation, ids, api.both.stranger.token)
        assert (operation.id, answer.status) == (operation.id, 404)
        assert " " in answer.json["detail"]
    for path in ("/api/v1/deployments", "/api/v1/projects"):
        headers = {"Authorization": f"Bearer {api.both.stranger.token}"}
        refused = await api.http.get(path, params={"cursor": text}, headers=headers)
        assert (path, refused.status_code) == (path, 422)
        assert "cursor" in refused.json()["detail"]


async def test_whoever_owns_what_is_named_gets_an_answer_on_every_route(api: Api) -> None:
    """The twins: without them, a misspelt path or a missing field would pass for a refusal above."""
    wrong = []
    for operation in api.taking_ids():
        for shape in operation.shapes:
            # Where a stranger mixes ids, their own half of the request must be right, too.
            for party in (api.both.owner, api.both.stranger)[: len(shape)]:
                answer = await api.own(operation, shape, party)
                if not 200 <= answer.status < 300:
                    wrong.append(f"{operation.id} with one's own {shape}: {answer.status} {answer.text[:200]}")
    assert wrong == []


async def test_doors_of_operators_tell_strangers_nothing(api: Api) -> None:
    for operation in (one for one in api.operations if one.id in OPERATORS_ONLY):
        ids = {"fact_id": "fct_" + "0" * 26}
        answer = await api.ask(operation, ids, api.both.stranger.token)
        assert (operation.id, answer.status) == (operation.id, 403)
        assert not api.both.owner.leaks(answer.text, ids)
        known = await api.ask(operation, ids, api.both.owner.platform.token)
        assert known.status != 403


async def test_lists_never_show_what_belongs_to_another_workspace(api: Api) -> None:
    for operation in (one for one in api.operations if one.listing and one.id not in OPERATORS_ONLY):
        answer = await api.ask(operation, {}, api.both.stranger.token)
        assert not api.both.owner.leaks(answer.text, {}), operation.id


async def test_without_a_token_nothing_is_answered_but_the_open_doors(api: Api) -> None:
    answered = set()
    for operation in api.operations:
        ids = {name: api.both.owner.ids.get(name, "fct_" + "0" * 26) for name in operation.shapes[0]}
        if (await api.ask(operation, ids, "")).status != 401:
            answered.add(operation.id)
    # Login is open too: 401 is what it says to a wrong password.
    assert answered == {"getHealth", "getSetupStatus", "completeSetup", "logout"}
