"""A typed, asynchronous client of the public REST API."""
