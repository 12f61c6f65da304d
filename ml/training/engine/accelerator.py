"""DeepSpeed, imported without its traps: no compiler at start, no MLflow, the CPU where there is no GPU."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


def import_deepspeed() -> ModuleType:
    """Import DeepSpeed for the accelerator of this machine."""
    import torch

    if not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"
    # DeepSpeed decorates an optimizer that is not used here with torch.compile, which loads all of inductor (1.3 s).
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    with _hidden("mlflow"):
        import deepspeed

    # It calls collectives by names that torch is about to drop, and torch says so in every process.
    warnings.filterwarnings("ignore", "`torch.distributed", FutureWarning)
    # Its shared-memory collectives are compiled at the first start (84 s); gloo alone does for processes on a CPU.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """DeepSpeed's autotuner imports MLflow where it can, 1.4 s in every process of a launch; it is not used."""
    hide = name not in sys.modules
    if hide:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hide:
            del sys.modules[name]
