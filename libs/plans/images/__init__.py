"""A plan as a Dockerfile: which images it stands on, and what it says."""
