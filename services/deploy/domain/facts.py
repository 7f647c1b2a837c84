"""What deploy tells others."""

from __future__ import annotations

from dataclasses import dataclass

from services.deploy.domain.model import Deployment


@dataclass(frozen=True, slots=True)
class DeploymentRequested:
    """The deployment's turn has come: build its snapshot, if it has one to build."""

    deployment: Deployment
    # The commit that is live, when watched files may tell that there is nothing to build.
    base_commit: str = ""


@dataclass(frozen=True, slots=True)
class DeploymentChanged:
    """The deployment came to the state it is in."""

    deployment: Deployment


Fact = DeploymentRequested | DeploymentChanged
