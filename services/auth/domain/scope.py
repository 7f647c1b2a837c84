"""How a token narrows its user, and what it may hand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from libs.kernel.context import Actor, Role
from libs.kernel.errors import Denied, Invalid, NotFound
from libs.kernel.ids import is_id
from services.auth.domain.model import EVERYTHING, Holder, Scope, Token


def narrowed(holder: Holder, token: Token | None) -> Actor:
    """Returns the actor behind a credential: a session's is its whole user, a token's never more than its scope.

    Only a credential without any limit makes an operator.
    """
    scope = token.scope if token else EVERYTHING
    return Actor(
        kind="user",
        id=holder.user.id,
        roles={
            workspace: min(role, scope.role)
            for workspace, role in holder.roles.items()
            if scope.workspace_id in ("", workspace)
        },
        operator=holder.user.operator and scope == EVERYTHING,
        project_id=scope.project_id,
        environment_id=scope.environment_id,
        token_id=token.id if token else "",
    )


def covers(outer: Scope, inner: Scope) -> bool:
    """Whether everything that `inner` may do, `outer` may do too."""
    return (
        outer.workspace_id in ("", inner.workspace_id)
        and outer.project_id in ("", inner.project_id)
        and outer.environment_id in ("", inner.environment_id)
        and outer.role >= inner.role
    )


def granted(asked: Scope, *, maker: Scope, roles: Mapping[str, Role]) -> Scope:
    """Returns the scope of a new token; its role is the highest allowed when none is asked for.

    `maker` is the scope of the credential that makes it, `roles` what that credential may do in each workspace.
    Invalid when it contradicts itself, NotFound when the workspace is not theirs, Denied when it reaches too far.
    """
    _check_shape(asked)
    highest = roles.get(asked.workspace_id, Role.NONE) if asked.workspace_id else maker.role
    if highest is Role.NONE:
        raise NotFound(f"Workspace {asked.workspace_id} does not exist, or is not yours to see.")
    if asked.role > highest:
        raise Denied(
            f"You cannot give a token the role {asked.role.name.lower()}: yours is {highest.name.lower()}.",
            hint="Ask for that role or a lower one.",
        )
    scope = replace(asked, role=asked.role or highest)
    if not covers(maker, scope):
        raise Denied(
            f"This token is bound to {_bounds(maker)}, so it cannot make one that reaches further.",
            hint="Bind the new token in the same way, or make it with your password's session.",
        )
    return scope


def lifetime_granted(expires_at: datetime | None, *, maker: Token | None) -> None:
    """Returns when a new token may live that long. Denied when it would outlive the token that makes it."""
    if maker is None or maker.expires_at is None:
        return
    if expires_at is None or expires_at > maker.expires_at:
        raise Denied(
            f"A token cannot outlive the one that makes it, which ends on {maker.expires_at:%Y-%m-%d at %H:%M UTC}.",
            hint="Ask for a shorter lifetime.",
        )


def _check_shape(asked: Scope) -> None:
    kinds = {"workspace_id": "workspace", "project_id": "project", "environment_id": "environment"}
    for field, kind in kinds.items():
        value = getattr(asked, field)
        if value and not is_id(value, kind):
            raise Invalid(f"“{value[:64]}” is no id of a {kind}.", field=field)
    if asked.environment_id and not asked.project_id:
        raise Invalid("A token for an environment names its project too.", field="project_id")
    if asked.project_id and not asked.workspace_id:
        raise Invalid("A token for a project names its workspace too.", field="workspace_id")


def _bounds(scope: Scope) -> str:
    if scope.environment_id:
        return f"environment {scope.environment_id}"
    if scope.project_id:
        return f"project {scope.project_id}"
    if scope.workspace_id:
        return f"workspace {scope.workspace_id}"
    return f"the role {scope.role.name.lower()}"
