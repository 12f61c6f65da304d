"""The networks: what is trained, and under `frozen` what is not.

Imports `labeling.language` for what a query speaks of, `sa1b.sources` for checkpoints, and below.
"""
