"""References name services as people do, and are kept by id: a renamed service keeps everything that refers to it."""

from __future__ import annotations

from collections.abc import Mapping

from libs.kernel.errors import Invalid
from services.project.domain.functions import Below, evaluate
from services.project.domain.names import SHARED_WORD, shown
from services.project.domain.render import ARROW, suggestion
from services.project.domain.template import Reference, with_calls, with_scopes
from services.project.domain.variables import check_value


def as_kept(label: str, name: str, value: str, ids: Mapping[str, str], below: Below) -> str:
    """Returns a value as it is kept: its functions evaluated, the services it names (name -> id) as ids.

    Invalid when it breaks a limit, opens what it never closes, or names what does not exist; `label` is the
    variable's own place, as in "web.DATABASE_URL".
    """
    check_value(name, value)
    try:
        text = with_calls(value, lambda call: evaluate(call, below))
    except Invalid as error:
        raise Invalid(f"{label}: {error.message}", field=name, hint=error.hint) from error
    check_value(name, text)
    return bound(label, text, ids)


def bound(label: str, value: str, ids: Mapping[str, str]) -> str:
    """Returns the value with the services it names (name -> id) as ids.

    Invalid when it names one that the project does not have; `label` is the variable's own place.
    """

    def put(reference: Reference) -> str:
        if reference.scope == SHARED_WORD or reference.scope in ids.values():
            return reference.scope
        if reference.scope not in ids:
            raise Invalid(
                f"{label}{ARROW}{shown(reference.scope)}.{reference.name}: "
                f"there is no service “{shown(reference.scope)}” in this project.",
                hint=suggestion(reference.scope, [*ids, SHARED_WORD]),
            )
        return ids[reference.scope]

    return with_scopes(value, put)


def named(value: str, names: Mapping[str, str]) -> str:
    """Returns the value with the services it holds by id (id -> name) as names again."""
    return with_scopes(value, lambda reference: names.get(reference.scope, reference.scope))
