"""Facts from the bus, decoded for people who watch live."""
