"""Groups keep every edge below the number of upstream partitions at which Dagster stops comparing."""

import pytest

from ml.workspace import Workspace
from ml.workspace.settings import preset, validate
from ml.workspace.stages import stage
from orchestration.partitions import partitions

DAGSTER_STOPS_AT = 100


@pytest.mark.parametrize(("count", "size"), [(6, 50), (1000, 50), (1000, 99), (1, 1)])
def test_no_edge_has_too_many_upstream_partitions(count, size):
    ws, raw = Workspace.find(), preset("toytown").model_dump()
    params = validate(raw | {"shards": raw["shards"] | {"count": count, "group_size": size}}, "test")
    found = partitions(ws, params)
    labels, training_set = stage(ws, "pseudo_labels"), stage(ws, "training_set")
    shards, groups = found.of(labels).get_partition_keys(), found.of(training_set).get_partition_keys()
    mapping = found.mapping(labels, training_set)
    members = [
        sorted(
            mapping.get_upstream_mapped_partitions_result_for_partitions(
                found.groups.subset_with_partition_keys([group]), found.groups, found.shards
            ).partitions_subset.get_partition_keys()
        )
        for group in groups
    ]
    assert [shard for group in members for shard in group] == list(shards)
    assert max(len(group) for group in members) < DAGSTER_STOPS_AT
    assert len(groups) < DAGSTER_STOPS_AT


def test_shards_map_one_to_one_and_a_whole_stage_has_no_partitions():
    ws = Workspace.find()
    params = preset("toytown")
    found = partitions(ws, params)
    assert found.mapping(stage(ws, "sa1b_shards"), stage(ws, "mask_index")) is None
    assert found.of(stage(ws, "backbones")) is None
    assert found.shards.get_partition_keys() == [f"sa_{number:06d}" for number in range(params.shards.count)]
