"""The outside world: the key file, the router, the machine's randomness."""
