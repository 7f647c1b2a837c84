"""Loops that make deployments real."""
