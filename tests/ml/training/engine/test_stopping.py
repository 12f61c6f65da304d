"""Asked to stop, a training saves where it is, and goes on as if nobody had asked."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from ml.training.engine.stopping import ASKING, Stopped
from ml.training.main import lost_touch
from ml.training.reporter import Reporter
from ml.workspace import Workspace

STAGE = "text_region_grounding"
Make = Callable[..., Workspace]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """What a stopped training leaves to be ignored is this process's again."""
    before = {number: signal.getsignal(number) for number in ASKING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "again"), [(signal.SIGTERM, False), (signal.SIGUSR1, True)])
def test_stopped_between_two_records_it_ends_with_the_same_bytes(
    workspace: Make, train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, number: int, again: bool
) -> None:
    params = {"training": {"log_interval": 4, "validations": 1}, STAGE: {"steps": 11}}
    whole, stopped = workspace(**params), workspace(**params)
    train(whole, STAGE)
    tell = Reporter.metrics

    def ask(self: Reporter, values: Mapping[str, float], step: int) -> None:
        tell(self, values, step)
        os.kill(os.getpid(), number)  # while step 4 is recorded: step 5 is the next that ends

    with monkeypatch.context() as patch, pytest.raises(Stopped) as stop:
        patch.setattr(Reporter, "metrics", ask)
        train(stopped, STAGE)
    assert stop.value.again is again
    assert (stopped.resume / STAGE / "latest").read_text() == "step_00000005"
    assert [signal.getsignal(asked) for asked in ASKING] == [signal.SIG_IGN] * len(ASKING)
    train(stopped, STAGE)
    for file in whole.stage(STAGE).iterdir():
        assert file.read_bytes() == (stopped.stage(STAGE) / file.name).read_bytes()
    assert [row["step"] for row in json.loads((whole.stage(STAGE) / "train.json").read_text())] == [4, 8, 11]


def test_a_training_that_ends_by_itself_leaves_the_handlers_as_they_were(
    workspace: Make, train: Callable[..., Any]
) -> None:
    before = [signal.getsignal(number) for number in ASKING]
    train(workspace(), STAGE)
    assert [signal.getsignal(number) for number in ASKING] == before


def test_a_collective_that_fails_is_another_process_that_is_gone() -> None:
    assert lost_touch(RuntimeError("[../third_party/gloo/transport/tcp/pair.cc:534] Connection closed by peer"))
    assert not lost_touch(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
