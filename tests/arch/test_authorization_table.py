"""Each RPC has exactly one row in the authorization table, and the table knows every RPC."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from libs.kernel.context import Role
from libs.rpc.authorization import Access, rule, table

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto" / "lightrail"
PACKAGE = re.compile(r"^package ([\w.]+);", re.MULTILINE)
SERVICE = re.compile(r"^service (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
RPC = re.compile(r"^\s*rpc (\w+)\(", re.MULTILINE)


def written() -> dict[str, Path]:
    """Every RPC as the proto files spell it, with the file it stands in."""
    found = {}
    for path in sorted(PROTO.rglob("*.proto")):
        text = path.read_text()
        package = PACKAGE.search(text)
        assert package, path
        for service, body in SERVICE.findall(text):
            for method in RPC.findall(body):
                found[f"{package[1]}.{service}/{method}"] = path
    return found


RPCS = written()


def test_there_are_rpcs_to_look_at() -> None:
    assert len(RPCS) > 40


@pytest.mark.parametrize("method", sorted(RPCS))
def test_each_rpc_has_a_row(method: str) -> None:
    row = rule(method)
    assert row.access is not Access.UNSPECIFIED, f"{method} has no `authorization` option in {RPCS[method]}"
    if row.access is Access.MEMBER:
        assert row.role is not Role.NONE, f"{method} is for members but does not say which role"
    else:
        assert row.role is Role.NONE, f"{method} names a role that nobody looks at"


def test_the_table_has_no_other_rows() -> None:
    assert set(table()) == set(RPCS)


def test_the_generated_servicers_offer_exactly_the_rows() -> None:
    """A method that a servicer could serve without a row would be a door without a lock."""
    offered = set()
    for path in sorted(set(RPCS.values())):
        package = ".".join(path.relative_to(ROOT / "proto").parent.parts)
        stubs = importlib.import_module(f"libs.protogen.{package}.{path.stem}_pb2_grpc")
        for name, servicer in vars(stubs).items():
            if isinstance(servicer, type) and name.endswith("Servicer"):
                methods = [method for method in vars(servicer) if not method.startswith("_")]
                offered |= {f"{package}.{name.removesuffix('Servicer')}/{method}" for method in methods}
    assert offered == set(table())


def test_only_these_doors_are_open_to_everyone() -> None:
    """Opening a door to the world is a decision: whoever makes it edits this list."""
    assert {method for method, row in table().items() if row.access is Access.PUBLIC} == {
        "lightrail.auth.v1.AuthService/GetSetupStatus",
        "lightrail.auth.v1.AuthService/CompleteSetup",
        "lightrail.auth.v1.AuthService/Login",
        "lightrail.auth.v1.AuthService/Logout",
    }
