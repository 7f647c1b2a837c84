"""Runs services: one process or many, the same code."""
