"""Where the frozen and the trained models compute."""

import multiprocessing

import torch


def accelerator() -> torch.device:
    """The processor, or a GPU: a pool's workers, which are numbered, take the machine's in turn."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    worker = multiprocessing.current_process().name.rpartition("-")[2].rpartition(":")[2]  # ForkServerProcess-3
    return torch.device("cuda", (int(worker) if worker.isdigit() else 0) % torch.cuda.device_count())
