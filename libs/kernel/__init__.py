"""Pure vocabulary shared by everything: ids, clock, errors, units, secrets, the caller. No I/O."""
