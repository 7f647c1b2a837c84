"""What Python projects say about themselves: their requirements, and where their application object is."""
