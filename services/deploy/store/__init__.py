"""All SQL of deploy."""

from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"
