"""The other services, as the use cases see them."""
