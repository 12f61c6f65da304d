"""The pool gives every shard's result once, in processes or in this one."""

import os.path
import signal
from functools import partial

import pytest

from ml.errors import UserError
from ml.pool import ShardPool

SHARDS = [f"sa_{number:06d}" for number in range(5)]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_shard_once(workers):
    with ShardPool(workers) as pool:
        found = dict(pool.map(partial(os.path.join, "data"), SHARDS))
    assert found == {shard: f"data/{shard}" for shard in SHARDS}


def test_a_failure_in_a_process_reaches_the_caller():
    with ShardPool(2) as pool, pytest.raises(ValueError, match="sa_"):
        list(pool.map(int, SHARDS))


def test_a_killed_process_is_one_line_and_the_pool_works_again():
    with ShardPool(2) as pool:
        with pytest.raises(UserError, match="one of 2 processes was killed, most likely out of memory; lower"):
            list(pool.map(signal.raise_signal, [signal.SIGKILL] * 2))
        assert len(dict(pool.map(os.path.basename, SHARDS))) == len(SHARDS)
