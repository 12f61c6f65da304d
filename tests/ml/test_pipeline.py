"""The table of contents: groups of shards, merged reports, and clear words for a wrong stage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml import pipeline
from ml.errors import UserError
from ml.sa1b import sharding
from ml.workspace import Workspace
from ml.workspace.report import Report, Sum, merge
from ml.workspace.settings import preset


@given(st.integers(0, 1500), st.integers(1, 99))
def test_groups_hold_every_shard_once_and_none_is_too_large(count, size):
    shards = [f"sa_{number:06d}" for number in range(count)]
    groups = sharding.group_shards(shards, size)
    assert [shard for members in groups.values() for shard in members] == shards
    assert all(1 <= len(members) <= size for members in groups.values())
    assert list(groups) == sorted(groups)


def test_merged_counts_add_up_and_other_values_are_not_summed():
    reports = [
        Report(
            numbers={"masks": 3, "source": "toytown", "share": 0.5, "price": Sum(0.25)},
            rejected={"empty": 1},
            tables={"t": [{"a": 1}]},
        ),
        Report(
            numbers={"masks": 4, "source": "toytown", "share": 0.75, "price": Sum(0.5)},
            rejected={"cut": 2},
            tables={"t": [{"a": 2}]},
        ),
    ]
    merged = merge(reports)
    assert merged.numbers == {"masks": 7, "source": "toytown", "share": 0.75, "price": 0.75}
    assert merge([merged, reports[0]]).numbers["price"] == 1.0
    assert merged.rejected == {"empty": 1, "cut": 2}
    assert merged.tables == {"t": [{"a": 1}, {"a": 2}]}
    assert not merged.skipped


def test_an_unknown_stage_names_the_known_ones(tmp_path):
    with pytest.raises(UserError, match="mask_index"):
        pipeline.run("mask_idnex", Workspace(tmp_path), preset("smoke"))
