"""Every subject and every table has one owner."""

from __future__ import annotations

import ast
import re
from collections import defaultdict

import pytest

from tests.arch.tree import ROOT, SERVICES, files, name, services, sources

OTHER_ROOMS = ("app", "domain", "rpc", "http", "events", "loops", "adapters", "main", "config")
_CREATE = re.compile(r"create\s+table\s+(?:if\s+not\s+exists\s+)?\"?(\w+)\"?", re.IGNORECASE)
_USE = re.compile(
    r"\b(?:from|join|into|update|table)\s+(?:only\s+)?\"?([a-z_]+)\"?(?:\.\"?([a-z_]+)\"?)?", re.IGNORECASE
)
_SUBJECT = re.compile(r"lightrail\.([a-z]+)\.([a-z_]+)\.([a-z_<>]+)\.v\d+")


def tables(service: str) -> set[str]:
    """Names the tables a service's migrations make."""
    return {
        table.lower()
        for path in files(SERVICES / service)
        if path.suffix == ".sql"
        for table in _CREATE.findall(path.read_text(encoding="utf-8"))
    }


def strings(service: str, *rooms: str) -> list[tuple[str, str]]:
    """Gives every string constant in these rooms of a service, with its file."""
    return [
        (name(path), node.value)
        for path in sources(SERVICES / service)
        if path.relative_to(SERVICES / service).parts[0].removesuffix(".py") in rooms
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_no_two_services_make_a_table_of_the_same_name() -> None:
    makers = defaultdict(list)
    for service in services():
        for table in tables(service):
            makers[table].append(service)
    assert {table: owners for table, owners in makers.items() if len(owners) > 1} == {}


@pytest.mark.parametrize("service", services())
def test_a_service_reads_and_writes_only_its_own_tables(service: str) -> None:
    others = {table: other for other in services() if other != service for table in tables(other)}
    own = tables(service)
    for file, text in strings(service, "store"):
        for first, second in _USE.findall(text):
            assert not (second and first in services() and first != service), f"{file} reaches into the schema {first}"
            table = (second or first).lower()
            assert table in own or table not in others, f"{file} uses {table}, which {others.get(table)} owns"


@pytest.mark.parametrize("service", services())
def test_a_services_card_lists_every_table_it_owns(service: str) -> None:
    card = ast.get_docstring(ast.parse((SERVICES / service / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert [table for table in sorted(tables(service)) if not re.search(rf"\b{table}\b", card)] == []


@pytest.mark.parametrize("service", services())
def test_sql_lives_in_the_store_only(service: str) -> None:
    statement = re.compile(r"^\s*(select\s.+\sfrom|insert\s+into|update\s+\w+\s+set|delete\s+from)\s", re.IGNORECASE)
    elsewhere = [
        f"{file}: {text.strip()[:60]}"
        for file, text in strings(
            service, "app", "domain", "rpc", "http", "events", "loops", "adapters", "main", "config"
        )
        if statement.match(text)
    ]
    assert elsewhere == []


def test_a_subject_is_described_in_the_protos_of_the_service_it_names() -> None:
    for path in (ROOT / "proto" / "lightrail").glob("*/v1/events.proto"):
        owner = path.parts[-3]
        for source, _, _ in _SUBJECT.findall(path.read_text(encoding="utf-8")):
            assert source == owner, f"{name(path)} describes a subject of {source}"


@pytest.mark.parametrize("service", services())
def test_a_service_names_only_subjects_that_are_described_by_their_owner(service: str) -> None:
    for file, text in strings(service, "events", "main", "http"):
        for source, noun, verb in _SUBJECT.findall(text):
            described = (ROOT / "proto" / "lightrail" / source / "v1" / "events.proto").read_text(encoding="utf-8")
            lines = [line for line in described.splitlines() if f"lightrail.{source}.{noun}." in line]
            named = f".{noun}.{verb}.v" in described or any(verb in line.split() for line in lines)
            assert named or "<" in verb, f"{file}: {source}'s events.proto does not describe {noun}.{verb}"
