"""The router's gRPC door."""
