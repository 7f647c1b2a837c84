"""Use cases: load, decide, save and record facts, in one transaction."""
