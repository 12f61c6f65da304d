"""The losses, one a file: pure functions of tensors. Imports nothing of the house."""
