"""Images in the store: resolved by name, pre-digested for `run`."""
