"""Many shards: one that changed is made again alone, and a run with nothing to do starts nothing."""

import sys

from orchestration.freshness.staleness import is_told
from orchestration.freshness.told import forget, note
from orchestration.runs.outcome import nothing_to_do

FIRST = ["sa1b_shards", "mask_index", "filtered_masks"]


def test_of_fifty_shards_the_one_that_changed_is_made_again(many):
    lost = many.ws.shard_file("sa1b_shards", "sa_000031", ".tar")
    before = lost.read_bytes()
    lost.write_bytes(before + b"tampered with")
    states = many.states()
    assert {name: state.todo for name, state in states.items()} == {
        "sa1b_shards": ["sa_000031"],
        "mask_index": ["sa_000031"],
        "filtered_masks": [],  # judged when the index is there
    }
    assert many.run().materialized == FIRST
    assert many.watcher.shards == [(name, "sa_000031") for name in FIRST]
    assert lost.read_bytes() != before  # what is drawn there, not the copy
    assert many.stale() == set()


def test_what_dagster_was_told_is_noted_until_it_is_told_more(town):
    states = list(town.states().values())
    assert is_told(town.ws, states)
    forget(town.ws, "mask_index")
    assert not is_told(town.ws, states)
    note(town.ws, "mask_index", town.states()["mask_index"].version)
    assert is_told(town.ws, states)
    town.edit(filter__predicted_iou=0.9)
    assert not is_told(town.ws, list(town.states().values()))
    assert town.run().materialized == ["filtered_masks"]
    assert is_told(town.ws, list(town.states().values()))


def test_not_all_fresh_is_something_to_do(town):
    assert nothing_to_do(town.ws, town.params) is None


def test_a_run_with_nothing_to_do_starts_neither_dagster_nor_dvc(finished):
    finished.json("arrcoc", "run", "--json", check=False)
    code = (
        "import sys; from orchestration.runs.watched import run; from ml.workspace import Workspace\n"
        "from ml.workspace.settings import load\n"
        "ws = Workspace.find(); outcome, _ = run(ws, load(ws.params_file), None, quiet=True)\n"
        "assert outcome['materialized'] == [] and len(outcome['fresh']) == 15, outcome\n"
        "assert not {'dagster', 'dvc', 'torch', 'mlflow'} & set(sys.modules)"
    )
    finished.run(sys.executable, "-c", code)
