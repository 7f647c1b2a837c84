"""The build loop."""
