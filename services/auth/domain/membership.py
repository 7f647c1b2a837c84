"""Who may change whose role in a workspace."""

from __future__ import annotations

from collections.abc import Mapping

from libs.kernel.context import Role
from libs.kernel.errors import Conflict, Denied


def check_change(members: Mapping[str, Role], *, user_id: str, mine: Role, wanted: Role) -> None:
    """Returns when somebody with the role `mine` may give this user the role `wanted` (NONE removes).

    Denied when it goes above their own role, Conflict when it would leave the workspace without an owner.
    """
    theirs = members.get(user_id, Role.NONE)
    if mine < Role.ADMIN:
        raise Denied(f"Only admins and owners change members; your role is {mine.name.lower()}.")
    if wanted > mine:
        raise Denied(f"You cannot give the role {wanted.name.lower()}: yours is {mine.name.lower()}.")
    if theirs > mine:
        raise Denied(f"You cannot change the role of an {theirs.name.lower()}: yours is {mine.name.lower()}.")
    owners = [member for member, role in members.items() if role is Role.OWNER]
    if owners == [user_id] and wanted is not Role.OWNER:
        raise Conflict("This is the last owner of the workspace.", hint="Make somebody else an owner first.")
