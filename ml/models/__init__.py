"""The networks: what is trained, and under `frozen` what is not.

Imports `labeling.language` for what a query speaks of, `labeling.geometry` for how pictures are shown, `sa1b` for
frames and checkpoints, and below.
"""
