"""What makes the router's intent real."""
