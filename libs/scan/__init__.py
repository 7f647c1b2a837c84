"""What a source holds: its packages as a CycloneDX document, secrets in it, and what is to be thought of both. Pure."""
