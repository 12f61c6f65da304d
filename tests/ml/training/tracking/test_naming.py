"""Runs named by the knobs that moved."""

from ml.training.tracking.naming import differing, run_name

BEFORE = {
    "benchmark_data.benchmarks.vqa": "toytown",
    "text_region_grounding.steps": "20",
    "relevance_learning.steps": "30",
    "multimodal_finetuning.loss_weights.vqa": "0.5",
    "benchmark_scores.evaluation.points_per_side": "16",
}


def named(**moved: str) -> str:
    return run_name(
        "benchmark_scores", BEFORE, BEFORE | {key.replace("__", "."): value for key, value in moved.items()}
    )


def test_a_run_is_named_by_the_knob_that_moved() -> None:
    assert named(multimodal_finetuning__loss_weights__vqa="0.6") == "benchmark_scores, vqa 0.5 to 0.6"
    assert named(relevance_learning__steps="40") == "benchmark_scores, relevance_learning.steps 30 to 40"
    assert run_name("benchmark_scores", None, BEFORE) == named() == "benchmark_scores"


def test_a_long_value_and_many_knobs_are_cut() -> None:
    assert named(benchmark_data__benchmarks__vqa="/" + 80 * "x").endswith(f"toytown to /{20 * 'x'}...")
    moved = {key.replace(".", "__"): "7" for key in BEFORE}
    assert named(**moved).endswith("text_region_grounding.steps 20 to 7, 3 more")


def test_a_knob_that_only_one_has_is_unset_in_the_other() -> None:
    fewer = dict([*BEFORE.items()][:-1])
    assert run_name("benchmark_scores", fewer, BEFORE) == "benchmark_scores, points_per_side unset to 16"
    assert run_name("benchmark_scores", BEFORE, fewer) == "benchmark_scores, points_per_side 16 to unset"


def test_what_differs_among_many() -> None:
    assert differing([]) == differing([BEFORE]) == []
    changed = BEFORE | {"relevance_learning.steps": "40"}
    assert differing([BEFORE, changed, BEFORE]) == ["relevance_learning.steps"]
