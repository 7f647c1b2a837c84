"""What a build is, and what may follow what. Pure."""
