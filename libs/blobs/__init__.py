"""Content-addressed storage, and the one reader and writer of archives that all of the platform uses."""
