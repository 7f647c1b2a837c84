"""Runs programs that nobody trusts: bubblewrap, a uid per owner, cgroup or rlimit caps."""
