"""The outside world: the runtime, health checks, other services, the keyring."""
