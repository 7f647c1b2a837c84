"""What makes two builds the same: when all of it is equal, so is what they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# Changes when what is done with the same plan changes.
FORMAT: Final = 1
# New for each deployment: what a build makes of them is not looked at.
PER_DEPLOYMENT: Final = frozenset({"LIGHTRAIL_DEPLOYMENT_ID", "LIGHTRAIL_SNAPSHOT_ID"})


def inputs(
    *,
    workspace_id: str,
    source_digest: str,
    plan: Mapping[str, Any],
    machine: Mapping[str, Any],
    variables: Mapping[str, str],
    version: str,
) -> dict[str, Any]:
    """Everything that a build depends on, as plain JSON values; every variable matters that a command could see."""
    return {
        "format": FORMAT,
        # Also a wall: what one workspace built is nothing that another could ask for.
        "workspace": workspace_id,
        "source": source_digest,
        "plan": plan,
        "machine": machine,
        "variables": {name: value for name, value in variables.items() if name not in PER_DEPLOYMENT},
        "platform": version,
    }
