"""Which tests share a worker of pytest-xdist: those that share a platform, so that each platform is started once.

It is told by a test's id. The mark `xdist_group` is not used: xdist writes it into the id, and from pytest 9.2 on an id
cannot be written to any more, so that the mark does nothing.
"""

from __future__ import annotations

import re
from typing import Final

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it brings no types

_TOPOLOGY = re.compile(r"\[(all|split)[-\]]")

# They share the stack that images are built on.
OF_IMAGES: Final = frozenset(
    f"tests/contract/test_builder_{driver}.py" for driver in ("docker", "docker_caps", "buildah")
)


class Grouped(LoadScopeScheduling):  # type: ignore[misc]  # the same
    """Sends the tests of one group to one worker; a test without a group is one of its own."""

    def _split_scope(self, nodeid: str) -> str:
        """Gives the name of a test's group."""
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """Gives a module of chaos tests, a topology of end-to-end tests, all builders of images, or the test itself."""
    module, _, name = nodeid.partition("::")
    if module.startswith("tests/chaos/"):
        return module
    if module in OF_IMAGES:
        return "images"
    if module.startswith("tests/e2e/") and (found := _TOPOLOGY.search(name)):
        return f"tests/e2e[{found[1]}]"
    return nodeid
