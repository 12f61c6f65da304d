"""SA-1B: where its shards come from, what is in them, which masks are kept, and reading them for training."""
