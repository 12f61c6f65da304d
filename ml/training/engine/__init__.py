"""DeepSpeed: its import without traps, the engine, the schedule, checkpoints. Imports `ml.params` and `workspace`."""
