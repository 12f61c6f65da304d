"""The networks: what is trained, and under `frozen` what is not. Imports `sa1b.sources` for checkpoints, and below."""
