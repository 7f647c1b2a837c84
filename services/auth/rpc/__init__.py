"""The gRPC door of auth."""
