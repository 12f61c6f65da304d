"""The processor where there is no GPU; else each process of a pool its own."""

import multiprocessing

import pytest

from ml.compute.device import accelerator


@pytest.mark.parametrize(
    ("process", "gpus", "wanted"),
    [
        ("MainProcess", 0, "cpu"),
        ("MainProcess", 8, "cuda:0"),
        ("ForkServerProcess-3", 8, "cuda:3"),
        ("ForkServerProcess-11", 8, "cuda:3"),
        ("SpawnProcess-2:5", 8, "cuda:5"),
        ("ForkServerProcess-3", 1, "cuda:0"),  # a Ray task sees no more than its own
    ],
)
def test_workers_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch, process: str, gpus: int, wanted: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr(multiprocessing.current_process(), "name", process)
    assert str(accelerator()) == wanted
