"""Training under DeepSpeed: the launcher, the engine, batches, the four tasks, the loop, tracking."""
