"""The asset graph as a file that a person reads: a change of the graph is a visible diff."""

from pathlib import Path

import dagster as dg

from ml.workspace import Workspace, stages
from ml.workspace.settings import preset
from orchestration.definitions import build

SNAPSHOT = Path(__file__).with_name("asset_graph.txt")


def described() -> str:
    ws = Workspace.find()
    graph = build(ws, preset("toytown")).resolve_asset_graph()
    lines = []
    for name in stages.load(ws):
        node = graph.get(dg.AssetKey(name))
        parents = ", ".join(sorted(key.to_user_string() for key in node.parent_keys)) or "-"
        partitions = (
            f"{len(node.partitions_def.get_partition_keys())} partitions" if node.partitions_def else "one piece"
        )
        lines.append(f"{node.group_name}: {name} ({partitions}; {', '.join(sorted(node.kinds))}) <- {parents}")
        checks = sorted(key.name for key in graph.asset_check_keys if key.asset_key == node.key)
        lines += [f"    check {check}" for check in checks]
    return "\n".join(lines) + "\n"


def test_the_graph_is_the_one_on_file():
    assert described() == SNAPSHOT.read_text(), "the asset graph changed; if so meant, run this file to write it anew"


def test_every_asset_is_described_and_versioned():
    graph = build(Workspace.find(), preset("toytown")).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert graph.get(key).description
        assert graph.get(key).code_version


def test_every_stage_has_a_job_and_the_page_can_load_all_of_them():
    repository = build(Workspace.find(), preset("toytown")).get_repository_def()
    repository.load_all_definitions()
    assert {f"{name}_job" for name in stages.load(Workspace.find())} < set(repository.job_names)


def test_hands_free_is_off_until_switched_on():
    sensor = build(Workspace.find(), preset("toytown")).resolve_sensor_def("hands_free")
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED


def test_hands_free_asks_for_what_is_missing_and_waits_for_what_is_not_there_yet():
    found = build(Workspace.find(), preset("smoke"))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.evaluate_automation_conditions(found, instance)
        keys = found.resolve_asset_graph().get_all_asset_keys()
        asked = {key.to_user_string(): result.get_num_requested(key) for key in keys if result.get_num_requested(key)}
    assert asked == {"sa1b_shards": 2, "mask_index": 2, "filtered_masks": 2, "backbones": 1, "benchmark_data": 1}


if __name__ == "__main__":
    SNAPSHOT.write_text(described())
