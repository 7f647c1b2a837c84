"""Secrets in source code: what they look like, where they are, what may be there."""
