"""Which version of the platform runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def platform_version() -> str:
    """The version of the installed package; "0.0.0" where it runs without being installed."""
    try:
        return version("lightrail")
    except PackageNotFoundError:
        return "0.0.0"
