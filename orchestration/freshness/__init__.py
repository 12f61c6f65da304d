"""What is stale and why, the lock of the workspace, and DVC's lock file. Imports `ml.sa1b.sharding`, `ml.workspace`."""
