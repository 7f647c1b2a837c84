"""Pure: what a deployment is, what may follow what, and what to do next."""
