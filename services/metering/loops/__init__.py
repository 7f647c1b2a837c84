"""What metering does by itself."""
