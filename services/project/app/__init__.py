"""Use cases of the project service: load, decide, save and record facts in one transaction."""
