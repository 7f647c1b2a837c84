"""How auth's facts are written for others."""
