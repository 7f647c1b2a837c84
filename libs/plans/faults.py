"""The user's faults of a build: results, not accidents."""

from __future__ import annotations

from libs.kernel.errors import Invalid


class BuildFault(Invalid):
    """The source cannot become an artifact until its owner changes something; the message says what."""

    kind = "invalid"
