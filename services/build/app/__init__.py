"""What build can do, as use cases over ports."""
