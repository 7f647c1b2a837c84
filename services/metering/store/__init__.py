"""Samples, counters and prices in PostgreSQL."""
