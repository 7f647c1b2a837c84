"""Door 1: gRPC messages to use cases and back."""
