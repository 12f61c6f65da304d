"""From a number back to the bytes, and from one run to another.

Imports `ml.training.tracking` and `orchestration.terminal`.
"""
