"""From a checkpoint to a registered model: pruned, int8, exported, packaged, asked. Imports `evaluation` and below."""
