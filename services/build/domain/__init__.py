"""What a build is, and how a tree of files becomes a plan. Pure."""
