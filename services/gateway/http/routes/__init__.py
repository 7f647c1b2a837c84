"""Routes: each declares the RPC it calls, translates, and nothing else."""
