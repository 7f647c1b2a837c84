"""Shared libraries: no business in here; each could be published alone."""
