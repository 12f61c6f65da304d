"""Where work runs: a pool of processes or Ray, the device, the allocator, the compiler of inner loops.

The ground floor: imports `ml.params` and `ml.errors` alone. What it decides bears on no output.
"""
