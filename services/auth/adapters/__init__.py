"""The outside world of auth: the password hash, the set-up token's file, the platform's signing key."""
