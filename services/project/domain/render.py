"""From values as written to values as an instance gets them: a walk over the graph of references.

The walk keeps its own stack, so that no chain of references is too long for it, visits every variable once, and
bounds the size of every value it makes; therefore it ends, whatever the values say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, auto
from typing import Final

from libs.kernel.errors import Failure, Invalid, Unavailable
from libs.kernel.secret import Secret
from libs.kernel.units import show_bytes
from services.project.domain.masking import looks_secret
from services.project.domain.names import SHARED_WORD
from services.project.domain.provided import DEPLOYMENT_ID, PUBLIC_DOMAIN, Provided
from services.project.domain.template import Call, Part, Reference, Text, parse
from services.project.domain.variables import MAX_SCOPE_BYTES, MAX_VALUE_BYTES, PORT, SHARED, Content, Variable

# A variable's place: its scope (SHARED or the id of a service) and its name.
Node = tuple[str, str]
ARROW: Final = " → "
# Messages travel in headers, which have room for some thousand characters: steps of a path, characters of a step.
MOST_TOLD: Final = 12
LONGEST_TOLD: Final = 80
# Comparing names takes time that grows with both: nobody may make it take long.
MOST_COMPARED: Final = 300
LONGEST_COMPARED: Final = 40


@dataclass(frozen=True, slots=True)
class World:
    """Everything a value may refer to in one environment. References in it name services by their ids."""

    # Id -> name, also of services that were deleted.
    services: Mapping[str, str]
    variables: Mapping[str, Content]
    # What the platform gives each scope that exists.
    provided: Mapping[str, Provided]

    def label(self, node: Node) -> str:
        """Returns how a person writes this place: "api.TOKEN", "shared.REGION"."""
        scope, name = node
        return f"{SHARED_WORD if scope == SHARED else self.services.get(scope, scope)}.{name}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A value with its references put in."""

    text: Secret[str]
    # Whether logs must mask it: it is sealed, looks secret, or holds something that is or does.
    secret: bool


class Purpose(Enum):
    """What the rendered values are for; it decides about what is sealed, and about what is not known yet."""

    # All is shown to the process; what is not known yet fails.
    DEPLOYMENT = auto()
    # A person reads it: references to sealed values, and to values not known yet, stay references.
    LISTING = auto()
    # Nobody reads it: only whether everything leads somewhere counts.
    CHECK = auto()


@dataclass(slots=True)
class _Open:
    node: Node
    variable: Variable
    parts: tuple[Part, ...]
    ahead: Iterator[Node]


def render(world: World, scope: str, names: Iterable[str], purpose: Purpose) -> dict[str, Rendered]:
    """Returns these variables of a scope with every reference put in.

    Invalid names the path to a reference that is unknown, goes round in a circle or grows beyond the limits.
    For a deployment, Unavailable when a host name is not known yet.
    """
    walk = _Walk(world, scope, purpose)
    wanted = sorted(names)
    for name in wanted:
        walk.visit((scope, name))
    rendered = {name: walk.done[scope, name] for name in wanted}
    size = sum(len(name) + len(value.text.reveal().encode()) for name, value in rendered.items())
    if size > MAX_SCOPE_BYTES:
        raise Invalid(
            f"With all references put in, these variables have {show_bytes(size)} together; "
            f"no more than {show_bytes(MAX_SCOPE_BYTES)} can be given to a process."
        )
    return rendered


def target(own: str, reference: Reference) -> Node:
    """Returns the place a reference means when it is written in scope `own`."""
    if not reference.scope:
        return own, reference.name
    return (SHARED if reference.scope == SHARED_WORD else reference.scope), reference.name


def targets(own: str, value: str) -> tuple[Node, ...]:
    """Returns the places a value refers to directly."""
    return tuple(target(own, part) for part in parse(value) if isinstance(part, Reference))


class _Walk:
    def __init__(self, world: World, root: str, purpose: Purpose) -> None:
        self.done: dict[Node, Rendered] = {}
        self._world = world
        self._root = root
        self._purpose = purpose
        self._path: dict[Node, _Open] = {}

    def visit(self, start: Node) -> None:
        self._enter(start)
        while self._path:
            top = next(reversed(self._path.values()))
            for node in top.ahead:
                if node in self._path:
                    raise self._circle(node)
                if node not in self.done:
                    self._enter(node)
                    break
            else:
                self.done[top.node] = self._joined(top)
                del self._path[top.node]

    def _enter(self, node: Node) -> None:
        """Puts a variable on the path, or settles it at once when it refers to nothing."""
        scope, name = node
        if node in self.done:
            return
        given = self._world.provided.get(scope, {})
        if name in given:
            self.done[node] = self._provided(node, given[name])
            return
        variable = self._world.variables.get(scope, {}).get(name)
        if variable is None or scope not in self._world.provided:
            raise self._unknown(node)
        if variable.sealed and self._purpose is Purpose.LISTING:
            self.done[node] = self._kept(node, secret=True)
            return
        try:
            parts = parse(variable.text.reveal())
        except Invalid as error:
            raise Invalid(f"{self._along(node)}: {error.message}", field=self._field(), hint=error.hint) from error
        ahead = (target(scope, part) for part in parts if isinstance(part, Reference))
        self._path[node] = _Open(node, variable, parts, ahead)

    def _provided(self, node: Node, value: str | None) -> Rendered:
        if value is not None:
            return Rendered(Secret(value), secret=False)
        if self._purpose is not Purpose.DEPLOYMENT:
            return self._kept(node, secret=False)
        if node[1] == DEPLOYMENT_ID:
            raise Invalid(f"{self._along(node)}: {DEPLOYMENT_ID} has a value only inside a deployment.")
        raise Unavailable(
            f"{self._along(node)}: the host name is not known yet, because the router is away.",
            hint="Try again in a moment.",
        )

    def _kept(self, node: Node, *, secret: bool) -> Rendered:
        where = node[1] if node[0] == self._root else self._world.label(node)
        return Rendered(Secret(f"${{{{{where}}}}}"), secret=secret)

    def _joined(self, top: _Open) -> Rendered:
        texts: list[str] = []
        size = 0
        secret = top.variable.sealed
        for part in top.parts:
            if isinstance(part, Text):
                text = part.text
            elif isinstance(part, Reference):
                other = self.done[target(top.node[0], part)]
                text, secret = other.text.reveal(), secret or other.secret
            else:
                raise self._never_evaluated(top.node, part)
            size += len(text.encode())
            if size > MAX_VALUE_BYTES:
                raise Invalid(
                    f"{self._along()}: with its references put in, the value has more than "
                    f"{show_bytes(MAX_VALUE_BYTES)}.",
                    field=self._field(),
                )
            texts.append(text)
        text = "".join(texts)
        return Rendered(Secret(text), secret=secret or looks_secret(top.node[1], text))

    def _never_evaluated(self, node: Node, call: Call) -> Failure:
        return Invalid(
            f"{self._world.label(node)} holds {call.function}(…), which is evaluated only when a value is set.",
            hint="Set the variable again.",
        )

    def _circle(self, node: Node) -> Failure:
        nodes = list(self._path)
        path = self._told([*nodes[nodes.index(node) :], node])
        return Invalid(
            f"These references go round in a circle: {path}.",
            field=self._field(),
            hint="Give one of them a value that refers to none of the others.",
        )

    def _unknown(self, node: Node) -> Failure:
        scope, name = node
        world = self._world
        where = "no shared variable" if scope == SHARED else f"no variable of {world.services.get(scope, scope)}"
        hint = None
        if scope not in world.provided:
            why = (
                f"the service {world.services[scope]} was deleted"
                if scope in world.services
                else "there is no such service"
            )
        elif name == PORT:
            why = "PORT is chosen for each instance when it starts, and only the instance itself can read it"
        elif name == DEPLOYMENT_ID:
            why = f"{DEPLOYMENT_ID} has a value only inside the service's own deployment"
        elif name == PUBLIC_DOMAIN and scope != SHARED:
            why = f"{world.services.get(scope, scope)} is a worker and has no public domain"
        else:
            why = f"there is {where} called {name}"
            hint = suggestion(name, {**world.variables.get(scope, {}), **world.provided[scope]})
        return Invalid(f"{self._along(node)}: {why}.", field=self._field(), hint=hint)

    def _along(self, node: Node | None = None) -> str:
        return self._told([*self._path, *([node] if node else [])])

    def _told(self, path: list[Node]) -> str:
        """The path as a person reads it; the middle of a very long one is left out."""
        labels = [shorter(self._world.label(node)) for node in path]
        if len(labels) > MOST_TOLD:
            left_out = f"… ({len(labels) - MOST_TOLD + 1} more) …"
            labels = [*labels[: MOST_TOLD // 2], left_out, *labels[1 - MOST_TOLD // 2 :]]
        return ARROW.join(labels)

    def _field(self) -> str | None:
        first = next(iter(self._path), None)
        return first[1] if first else None


def shorter(label: str) -> str:
    """Returns a label as it may stand in a message among others."""
    return label if len(label) <= LONGEST_TOLD else label[: LONGEST_TOLD - 1] + "…"


def suggestion(wrong: str, known: Iterable[str]) -> str | None:
    """Returns the sentence that offers the known name most like a wrong one, if any is like it."""
    if len(wrong) > LONGEST_COMPARED:
        return None
    comparable = [name for name in sorted(known) if len(name) <= LONGEST_COMPARED][:MOST_COMPARED]
    by_case = {name.casefold(): name for name in comparable}
    near = get_close_matches(wrong.casefold(), by_case, n=1, cutoff=0.6)
    return f"Did you mean “{by_case[near[0]]}”?" if near else None
