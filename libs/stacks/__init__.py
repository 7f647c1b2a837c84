"""Base images for container builds, made on this machine without any image registry."""
