"""What accounts, credentials and memberships are, and which changes to them are legal."""
