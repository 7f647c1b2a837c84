"""Readers of lock files: one module per world of packages."""
