"""What auth does by itself."""
