"""Who vouches for an image: policies, keys, signed claims. Pure: bytes in, verdicts out; no registry and no store."""
