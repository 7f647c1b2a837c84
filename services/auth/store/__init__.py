"""Everything auth keeps, in PostgreSQL; and in memory for unit tests."""
