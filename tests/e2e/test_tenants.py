"""What belongs to another workspace does not exist: every REST route, generated from the API's own description."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e import archives
from tests.e2e.application import Application
from tests.e2e.platform import Json, Platform

Make = Callable[..., Awaitable[Application]]
METHODS = {"get", "post", "put", "patch", "delete"}
# Bodies that are right in themselves, so that only the owner's identity can be what is wrong.
BODIES: dict[str, Json] = {
    "name": "intruder",
    "email": "intruder@example.test",
    "role": "viewer",
    "values": {"A": "1"},
    "settings": {"replicas": 1},
    "password": "long enough to be one",
}


@dataclass(frozen=True)
class Victim:
    """Everything somebody else owns, by the name under which routes ask for it."""

    ids: dict[str, str]
    secrets: list[str]


async def somebody(app: Application) -> Victim:
    """Deploys something for the operator and collects every id of it."""
    await app.up()
    deployment = (await app.deployments())[0]
    token = await app.platform.api("POST", "/tokens", json={"name": "mine"})
    ids = {
        "workspace_id": deployment["workspace_id"],
        "project_id": deployment["project_id"],
        "environment_id": deployment["environment_id"],
        "service_id": deployment["service_id"],
        "deployment_id": deployment["id"],
        "snapshot_id": deployment["snapshot_id"],
        "token_id": token["token"]["id"],
        "fact_id": "fct_" + "0" * 26,
        "source": "deploy",
        "name": "A",
    }
    return Victim(ids, [value for key, value in ids.items() if key.endswith("_id") and key != "fact_id"])


def resolve(schema: Json, description: Json) -> Json:
    """Follows references in a JSON schema."""
    while "$ref" in schema:
        schema = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def body_of(operation: Json, description: Json, victim: Victim) -> dict[str, Json]:
    """Makes arguments for a request body that fit its schema and name the victim's things."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return {"content": archives.honest()} if content or "snapshot" in operation["operationId"] else {}
    properties = resolve(content["application/json"]["schema"], description).get("properties", {})
    body = {name: victim.ids.get(name) or BODIES[name] for name in properties if name in victim.ids or name in BODIES}
    if {"service_id", "service_name"} <= properties.keys():
        body.pop("service_name", None)
    return {"json": body}


async def operations(platform: Platform) -> list[tuple[str, str, Json, Json]]:
    """Lists (method, path, operation, whole description) of the API."""
    description = await platform.api("GET", "/openapi.json")
    return [
        (method, path, operation, description)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


async def test_another_workspaces_ids_do_not_exist_on_any_route(application: Make, platform: Platform) -> None:
    victim = await somebody(await application("static-site"))
    intruder = await platform.user("intruder@example.test")
    wrong, tried = [], 0
    for method, path, operation, description in await operations(platform):
        filled = re.sub(r"\{(\w+)\}", lambda found: victim.ids[found.group(1)], path)
        query = {
            parameter["name"]: victim.ids[parameter["name"]]
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "query" and parameter["name"] in victim.ids
        }
        named = filled != path or bool(query)
        arguments = body_of(operation, description, victim)
        named = named or any(key in victim.ids and key.endswith("_id") for key in arguments.get("json", {}))
        if not named:
            continue
        answer = await platform.request(method.upper(), filled, token=intruder, params=query, **arguments)
        tried += 1
        # Doors of operators and of platform services may say 403: they tell nothing of what exists.
        allowed = {404, 403} if "operator" in str(operation.get("description", "")).lower() else {404}
        # A filter that matches nothing tells no more than that there is nothing.
        nothing = answer.status_code == 200 and not answer.json().get("items", ["unknown shape"])
        if answer.status_code not in allowed and not (method == "get" and nothing):
            wrong.append(f"{method.upper()} {path}: {answer.status_code} {answer.text[:200]}")
    assert tried > 15
    assert wrong == []


async def test_lists_never_show_what_belongs_to_another_workspace(application: Make, platform: Platform) -> None:
    victim = await somebody(await application("static-site"))
    intruder = await platform.user("collector@example.test")
    for method, path, operation, _ in await operations(platform):
        required = [row for row in operation.get("parameters", []) if row["in"] == "query" and row.get("required")]
        streaming = "text/event-stream" in str(operation.get("responses"))
        if method != "get" or "{" in path or required or streaming:
            continue
        answer = await platform.request("GET", path, token=intruder)
        for secret in victim.secrets:
            assert secret not in answer.text, f"GET {path} shows {secret}"


async def test_without_a_token_nothing_is_answered_but_the_open_doors(application: Make, platform: Platform) -> None:
    victim = await somebody(await application("static-site"))
    answered = set()
    for method, path, operation, description in await operations(platform):
        filled = re.sub(r"\{(\w+)\}", lambda found: victim.ids[found.group(1)], path)
        answer = await platform.request(method.upper(), filled, token="", **body_of(operation, description, victim))
        if answer.status_code != 401:
            answered.add(operation["operationId"])
    for word in ("deployment", "project", "service_", "variable", "snapshot", "token", "usage", "user"):
        assert not [name for name in answered if word in name.lower()], answered


async def test_every_operation_has_an_id_of_its_own(platform: Platform) -> None:
    ids: list[Any] = [operation.get("operationId") for _, _, operation, _ in await operations(platform)]
    assert all(ids)
    assert len(ids) == len(set(ids))
