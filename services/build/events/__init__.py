"""Facts in and out: what build listens to, and how its own facts are spelled."""
