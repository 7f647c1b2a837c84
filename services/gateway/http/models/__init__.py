"""What goes over the public API, as strict models; each knows how to read its message."""
