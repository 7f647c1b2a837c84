"""Pure: names, the world of endpoints, and what to tell an edge next."""
