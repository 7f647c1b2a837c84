"""A few server-rendered pages: status, login, set-up. No script, no outside asset."""
