"""BuildService: proto in, one use case, proto out."""
