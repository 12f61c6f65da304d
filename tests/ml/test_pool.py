"""The pool gives every shard's result once, in processes or in this one."""

import os.path
from functools import partial

import pytest

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
