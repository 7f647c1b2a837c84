"""Imports without the optional parts that a library would load for nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Makes `import` of these fail inside the body, as if they were not installed; what is loaded already stays.

    For libraries that try an optional import and go on without it: the WebSocket transport of NATS loads aiohttp, the
    console of structlog loads rich. Together 15 MB and 0.2 s of CPU at the start of every process.
    """
    blocked = {name: None for name in modules if name not in sys.modules}
    sys.modules.update(blocked)  # type: ignore[arg-type]  # None is how Python spells "not to be had"
    try:
        yield
    finally:
        for name in blocked:
            sys.modules.pop(name, None)
