"""Builders that make images, with a container engine or without a daemon."""
