"""Keeps small secrets at rest: sealed boxes under a key that stays with the machine."""
