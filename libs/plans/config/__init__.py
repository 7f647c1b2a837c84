"""Files in which people say how their source is built: ours, and those of other platforms."""
