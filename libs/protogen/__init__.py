"""Messages and stubs generated from `proto/`; regenerate with `make proto`."""
