"""The public HTTP door: REST, server-sent events, the status page. fastapi is spoken only here."""
