"""Runs services: one process or many, the same code."""

from libs.runtime.host import SERVICES, Host
from libs.runtime.module import Module
from libs.runtime.opened import Follow, Opened

__all__ = ["SERVICES", "Follow", "Host", "Module", "Opened"]
