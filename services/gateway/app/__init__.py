"""What the gateway does besides translating: admits callers, fans facts out, tells a deployment's story."""
