"""Environment variables become frozen settings, once, in a service's `config.py`."""

from libs.config.settings import REQUIRED, describe, load, setting

__all__ = ["REQUIRED", "describe", "load", "setting"]
