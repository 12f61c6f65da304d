"""The losses, one file each: pure functions on tensors."""
