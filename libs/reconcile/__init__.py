"""Loops that make intent real: look, take one idempotent step, come again."""

from libs.reconcile.driver import Driver
from libs.reconcile.reconciler import Again, Done, Outcome, Reconciler

__all__ = ["Again", "Done", "Driver", "Outcome", "Reconciler"]
