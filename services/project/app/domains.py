"""Host names of services: asked from the router when they are first needed, and kept."""

from __future__ import annotations

import dataclasses
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.errors import Failure
from libs.telemetry import get_logger
from services.project.app.ports import HostNames, Services
from services.project.domain.model import Setup

# While the router is away, reads go on without it and ask again after this long.
QUIET_SECONDS: Final = 5.0


class Domains:
    """Gives services their host names."""

    def __init__(self, names: HostNames, services: Services, clock: Clock) -> None:
        self._names = names
        self._services = services
        self._clock = clock
        self._quiet_until = float("-inf")
        self._log = get_logger("project/domains")

    async def claimed(self, setup: Setup) -> Setup:
        """The setup with its host name; the same one every time. Unavailable while the router is away."""
        if setup.claimed_domain or setup.settings.is_worker:
            return setup
        named = dataclasses.replace(setup, claimed_domain=await self._names.claim(setup))
        await self._services.claimed(named)
        return named

    async def claimed_if_possible(self, setup: Setup) -> Setup:
        """The setup with its host name, or as it is when the router does not give one now."""
        if self._clock.monotonic() < self._quiet_until:
            return setup
        try:
            return await self.claimed(setup)
        except Failure as failure:
            self._quiet_until = self._clock.monotonic() + QUIET_SECONDS
            self._log.warning("name.not_claimed", service_id=setup.service.id, reason=str(failure))
            return setup
