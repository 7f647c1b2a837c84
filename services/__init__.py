"""The services of the platform; strangers to each other."""
