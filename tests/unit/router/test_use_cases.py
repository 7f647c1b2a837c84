from __future__ import annotations

from tests.unit.router.claims import Claims


class TestInMemory(Claims):
    """On the store in memory."""
