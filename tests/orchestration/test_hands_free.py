"""The sensor `hands_free`: what it asks for after an edit, and, switched on in a real daemon, what it runs."""

import shutil
import time
from typing import Any

import dagster as dg
import pytest

from ml.workspace import Workspace
from ml.workspace.settings import load
from orchestration.definitions import build
from orchestration.instance.opened import instance
from orchestration.provenance import tell

FIRST = ["sa1b_shards", "mask_index", "filtered_masks"]
WHERE = 'repositoryName: "__repository__", repositoryLocationName: "orchestration.definitions"'
SENSOR = f'sensorSelector: {{{WHERE}, sensorName: "hands_free"}}'
TICKS = f"{{sensorOrError({SENSOR}) {{... on Sensor {{sensorState {{ticks(limit: 1) {{status}}}}}}}}}}"
START = f"mutation {{startSensor({SENSOR}) {{__typename}}}}"
BY_SENSOR = "dagster/from_automation_condition"


class Sensor:
    """Looks at a town's first three stages, as the daemon does every half minute."""

    def __init__(self, town: Any) -> None:
        self.town, self.cursor = town, None

    def look(self) -> dict[str, set[str]]:
        """The shards that it asks for, stage by stage."""
        defs = build(self.town.ws, self.town.params)
        with instance(self.town.ws) as found:
            tell(found, self.town.ws, self.town.params)  # as the definitions do when they are loaded
            chosen = dg.AssetSelection.assets(*FIRST)
            result = dg.evaluate_automation_conditions(defs, found, chosen, cursor=self.cursor)
        self.cursor = result.cursor
        asked = {name: set(result.get_requested_partitions(dg.AssetKey(name))) for name in FIRST}
        return {name: shards for name, shards in asked.items() if shards}


def stale(town: Any) -> dict[str, set[str]]:
    return {name: set(state.todo) for name, state in town.states().items() if state.todo}


def test_an_edited_param_asks_for_exactly_what_is_stale(town):
    sensor = Sensor(town)
    assert sensor.look() == {}
    town.edit(filter__predicted_iou=0.9)
    assert sensor.look() == stale(town) == {"filtered_masks": {"sa_000000", "sa_000001"}}
    town.run()
    assert sensor.look() == stale(town) == {}


def test_a_new_shard_in_the_source_asks_for_that_shard_alone(town, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(town.ws.stage("sa1b_shards"), source)
    town.edit(shards__source=str(source), shards__count=None)
    town.run()
    sensor = Sensor(town)
    assert sensor.look() == {}
    shutil.copy(source / "sa_000000.tar", source / "sa_000002.tar")
    assert sensor.look() == stale(town) == {name: {"sa_000002"} for name in FIRST}
    town.run()
    assert {shard for _, shard in town.watcher.shards} == {"sa_000002"}
    assert sensor.look() == stale(town) == {}


@pytest.mark.slow
def test_switched_on_it_runs_what_an_edit_made_stale_and_what_that_changed(finished, served, tmp_path):
    root = tmp_path / "town"
    shutil.copytree(finished.root, root)
    ws = Workspace(root)
    place = type(finished)(root)
    with served(root) as ui:
        ask = ui.ask
        ask(START)
        wait(lambda: ask(TICKS)["sensorOrError"]["sensorState"]["ticks"], "the first look")
        assert automatic(ws) == []
        text = ws.params_file.read_text()
        ws.params_file.write_text(text.replace("refcoco: 85.0", "refcoco: 0.0"))  # a milestone: the scores read it
        assert {stage["name"] for stage in state(place) if stage["state"] != "fresh"} == {"benchmark_scores"}
        wait(lambda: len(automatic(ws)) == 2, "two runs")
        assert automatic(ws) == [{"benchmark_scores"}, {"released_model"}]  # the second for the first's new bytes
        wait(lambda: all(stage["state"] == "fresh" for stage in state(place)), "all fresh")
    assert load(ws.params_file).milestones.refcoco == 0.0


def state(place: Any) -> list[dict[str, Any]]:
    return list(place.json("arrcoc", "status", "--json")["stages"])


def automatic(ws: Workspace) -> list[set[str]]:
    """The stages of each run that the sensor asked for, the first one first."""
    with instance(ws) as found:
        runs = found.get_runs(dg.RunsFilter(tags={BY_SENSOR: "true"}))
    return [{key.to_user_string() for key in run.asset_selection} for run in reversed(runs)]


def wait(done: Any, what: str, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(2)
