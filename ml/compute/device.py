"""Where the frozen and the trained models compute."""

import multiprocessing
from contextlib import AbstractContextManager, nullcontext

import torch


def accelerator() -> torch.device:
    """The processor, or a GPU: a pool's workers, which are numbered, take the machine's in turn."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    worker = multiprocessing.current_process().name.rpartition("-")[2].rpartition(":")[2]  # ForkServerProcess-3
    return torch.device("cuda", (int(worker) if worker.isdigit() else 0) % torch.cuda.device_count())


def half_precision(device: torch.device) -> AbstractContextManager[object]:
    """Matrix products of the frozen models in bfloat16 on a GPU; on a processor all stays float32.

    What comes of it is read in half precision anyway (features), or averaged over many numbers (embeddings).
    """
    return torch.autocast(device.type, torch.bfloat16) if device.type == "cuda" else nullcontext()
