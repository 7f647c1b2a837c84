"""What metering does: take samples, answer what was used, forget what is old."""
