"""Facts: recorded with the change they tell of, relayed in order, reacted to once. Database and bus meet here."""

from pathlib import Path

from libs.facts.fact import Fact, Handler, NewFact
from libs.facts.follower import Follower
from libs.facts.outbox import Outbox
from libs.facts.relay import Relay
from libs.facts.servicer import FactsServicer

MIGRATIONS = Path(__file__).parent / "migrations"

__all__ = ["MIGRATIONS", "Fact", "FactsServicer", "Follower", "Handler", "NewFact", "Outbox", "Relay"]
