"""Programs that mean harm, for tests of what keeps them from it; each ends by itself within seconds."""

from __future__ import annotations

from typing import Final

# Python: makes at most 700 children, each of which ends by itself, and says “forked N”.
FORKS: Final = """
import os, time
made = 0
for _ in range(700):
    try:
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
    except OSError:
        break
    made += 1
print("forked", made, flush=True)
"""
