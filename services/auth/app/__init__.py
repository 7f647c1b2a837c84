"""What can be asked of auth: each function loads, decides by the domain, saves and records, in one transaction."""
