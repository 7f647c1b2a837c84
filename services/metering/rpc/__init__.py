"""The gRPC door of metering."""
