"""The authorization table: one row beside each RPC in proto/, read from the descriptors, denied when there is none.

This is the first door: who may knock at an RPC at all. Which workspace a caller may touch is the use case's question.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor import FileDescriptor

from libs.kernel.context import Actor, Role
from libs.kernel.errors import Denied
from libs.protogen import lightrail
from libs.protogen.lightrail.common.v1 import authorization_pb2


class Access(IntEnum):
    """Who may call an RPC. Numbers as on the wire; UNSPECIFIED admits nobody."""

    UNSPECIFIED = authorization_pb2.ACCESS_UNSPECIFIED
    PUBLIC = authorization_pb2.ACCESS_PUBLIC
    IDENTIFIED = authorization_pb2.ACCESS_IDENTIFIED
    MEMBER = authorization_pb2.ACCESS_MEMBER
    OPERATOR = authorization_pb2.ACCESS_OPERATOR
    SERVICE = authorization_pb2.ACCESS_SERVICE


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table. `role` is the least role in the resource's workspace; NONE except with MEMBER."""

    access: Access
    role: Role = Role.NONE


NOBODY: Final = Rule(Access.UNSPECIFIED)
# Standard services that every server offers and that no proto of ours describes.
OPEN_SERVICES: Final = frozenset(
    {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection"},
)


def rule(method: str) -> Rule:
    """Returns the row of "/lightrail.deploy.v1.DeploymentService/CreateDeployment"; the first slash may be left out.

    An RPC without a row gets NOBODY, which `permits` refuses to everyone.
    """
    name = method.removeprefix("/")
    if name.partition("/")[0] in OPEN_SERVICES:
        return Rule(Access.PUBLIC)
    return table().get(name, NOBODY)


def permits(needed: Rule, actor: Actor) -> None:
    """Returns when `actor` may knock at a door with this rule.

    Denied otherwise; with `unauthenticated` when signing in would help.
    """
    if needed.access is Access.PUBLIC:
        return
    if needed.access is Access.UNSPECIFIED:
        raise Denied("This call is open to nobody.", hint="It may belong to another version of the platform.")
    if actor.kind == "anonymous":
        raise Denied(
            "This call needs a caller who has signed in.",
            unauthenticated=True,
            hint="Send a session or an API token as the bearer.",
        )
    if actor.kind == "service":
        return
    if needed.access is Access.MEMBER:
        _permit_member(needed.role, actor)
    elif needed.access is Access.OPERATOR and not actor.operator:
        raise Denied("Only the operator of this platform may do this.")
    elif needed.access is Access.SERVICE:
        raise Denied("Only the platform's own services may call this.")


def _permit_member(needed: Role, actor: Actor) -> None:
    best = max(actor.roles.values(), default=Role.NONE)
    if best is Role.NONE:
        raise Denied("You are a member of no workspace.", hint="Make one, or ask an admin to add you to theirs.")
    if best < needed:
        raise Denied(
            f"This needs the role {needed.name.lower()}; the highest this credential has is {best.name.lower()}.",
            hint="Ask an admin of the workspace, or use a token with more rights.",
        )


@cache
def table() -> Mapping[str, Rule]:
    """Returns every row: "package.Service/Method" → rule, over all protos of the platform, imported or not yet."""
    rows: dict[str, Rule] = {}
    for file in _files():
        for service in file.services_by_name.values():
            for method in service.methods:
                options = method.GetOptions()
                if options.HasExtension(authorization_pb2.authorization):
                    row = options.Extensions[authorization_pb2.authorization]
                    rows[f"{service.full_name}/{method.name}"] = Rule(Access(row.access), Role(row.role))
    return MappingProxyType(rows)


def _files() -> Iterator[FileDescriptor]:
    for module in pkgutil.walk_packages(lightrail.__path__, f"{lightrail.__name__}."):
        if module.name.endswith("_pb2"):
            yield import_module(module.name).DESCRIPTOR
