"""Envoy and the file that remembers the world."""
