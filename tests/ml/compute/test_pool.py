"""The pool gives every shard's result once, in processes or in this one."""

import os.path
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from ml.compute.pool import AHEAD, ShardPool, apart, in_order, meanwhile
from ml.errors import UserError

ROOT = Path(__file__).parents[3]
SHARDS = [f"sa_{number:06d}" for number in range(5)]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_shard_once(workers):
    with ShardPool(workers) as pool:
        found = dict(pool.map(partial(os.path.join, "data"), SHARDS))
    assert found == {shard: f"data/{shard}" for shard in SHARDS}


def touch(folder, name):
    (folder / name).touch()


def threads(shard):
    import torch

    return torch.get_num_threads()


@pytest.mark.parametrize(("workers", "shards"), [(2, ["a", "b"]), (2, ["a"]), (1, ["a", "b"])])
def test_a_shard_is_computed_on_one_thread_wherever_it_is(workers, shards):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ShardPool(workers) as pool:
            assert dict(pool.map(threads, shards)) == dict.fromkeys(shards, 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_what_is_not_taken_is_not_computed(tmp_path):
    """Results do not pile up where whoever takes them is slow."""
    many = [str(number) for number in range(50)]
    with ShardPool(2) as pool:
        found = pool.map(partial(touch, tmp_path), many)
        taken = [next(found)[0] for _ in range(5)]
        time.sleep(0.3)
        assert 5 <= len(list(tmp_path.iterdir())) <= 5 + 2 * AHEAD
        assert sorted(taken + [name for name, _ in found]) == sorted(many)


def test_in_order_an_early_result_waits():
    found = iter([("b", 2), ("c", 3), ("a", 1), ("d", 4)])
    ordered = in_order(found, "abcd")
    assert next(ordered) == 1 and next(found) == ("d", 4)
    assert [next(ordered), next(ordered)] == [2, 3]


def test_a_failure_in_a_process_reaches_the_caller():
    with ShardPool(2) as pool, pytest.raises(ValueError, match="sa_"):
        list(pool.map(int, SHARDS))


def test_a_killed_process_is_one_line_and_the_pool_works_again():
    with ShardPool(2) as pool:
        with pytest.raises(UserError, match="one of 2 processes was killed, most likely out of memory; lower"):
            list(pool.map(signal.raise_signal, [signal.SIGKILL] * 2))
        assert len(dict(pool.map(os.path.basename, SHARDS))) == len(SHARDS)


def test_whoever_opens_a_pool_names_the_knob():
    with (
        ShardPool(2, "evaluation.workers") as pool,
        pytest.raises(UserError, match=r"^evaluation\.workers: .*lower eval"),
    ):
        list(pool.map(signal.raise_signal, [signal.SIGKILL] * 2))


WORK = """
import os, signal, sys, time
from ml.compute.pool import ShardPool

signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & would ignore it

def work(shard):
    os.write(1, b"%d\\n" % os.getpid())  # one write: two workers' lines are never mixed
    time.sleep(60)

if __name__ == "__main__":
    try:
        with ShardPool(2) as pool:
            list(pool.map(work, ["a", "b"]))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.fixture
def working(tmp_path):
    """A process with two workers at work, in a process group of its own, and the workers' ids."""
    script = tmp_path / "script.py"
    script.write_text(WORK)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)}, **options
    ) as main:
        yield main, [int(main.stdout.readline()) for _ in range(2)]


def runs(pid):
    """Whether there is a process, one that nobody has waited for yet aside."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_workers_end_with_a_main_process_that_is_killed_alone(working):
    main, workers = working
    main.kill()
    main.communicate(timeout=10)  # returns when nobody holds the other end of its pipes
    assert not any(map(runs, workers))


@pytest.mark.parametrize("first", ["main", "workers"])
def test_interrupted_workers_print_no_trace(working, first):
    """A terminal interrupts the whole group at once; whoever is quicker, it is told as an interrupt."""
    main, workers = working
    if first == "workers":
        for pid in workers:
            with suppress(ProcessLookupError):  # its pool ended it, since the first was gone
                os.kill(pid, signal.SIGINT)
        time.sleep(0.1)
    os.killpg(main.pid, signal.SIGINT)
    assert main.communicate(timeout=10) == ("", "")
    assert main.returncode == 130
    assert not any(map(runs, workers))


def test_meanwhile_the_block_runs_and_in_the_end_both_are_done(tmp_path):
    with meanwhile(touch, tmp_path, "other"):
        (tmp_path / "own").touch()
    assert {file.name for file in tmp_path.iterdir()} == {"other", "own"}
    with pytest.raises(FileNotFoundError), meanwhile(touch, tmp_path / "no", "other"):
        pass
    with pytest.raises(UserError, match="a process was killed"), meanwhile(signal.raise_signal, signal.SIGKILL):
        pass


def test_apart_is_another_process_and_its_answer_and_its_errors_are_ours():
    assert apart(os.getpid) != os.getpid()
    with pytest.raises(FileNotFoundError):
        apart(touch, Path("/no/such/folder"), "other")
    with pytest.raises(UserError, match="a process was killed"):
        apart(signal.raise_signal, signal.SIGKILL)
