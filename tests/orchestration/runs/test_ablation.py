"""The ablation's cases and table; the whole of it on the smoke preset runs with -m slow."""

import json

import pytest

from ml.workspace.settings import preset
from orchestration.runs.ablation import CASES, CHAIN, FOLDER, MADE, table, without


def test_a_case_changes_the_seed_and_one_part_only() -> None:
    params = preset("smoke")
    wanted = {
        "relevance_learning": ("relevance_learning", "steps", 0),
        "frozen_similarity": ("model", "frozen_similarity", False),
        "absent_queries": ("training", "absent", 0.0),
    }
    for part in [part for part in CASES.values() if part in wanted]:
        section, name, value = wanted.pop(part)
        expected = params.model_dump() | {"seed": 7}
        assert expected[section][name] != value
        expected[section][name] = value
        assert without(params, part, 7).model_dump() == expected
    assert not wanted
    assert without(params, None, 7).model_dump() == params.model_dump() | {"seed": 7}


def test_the_table_has_means_and_extremes() -> None:
    rows = [{"case": "all stages", "scores": {"refcoco/val/acc@0.5": [70.0, 71.0, 72.0], "lvis/val/AP": [40.0] * 3}}]
    means = {"refcoco/val/acc@0.5": "71.0 (70.0 to 72.0)", "lvis/val/AP": "40.0 (40.0 to 40.0)"}
    assert table({"rows": rows}) == [{"case": "all stages", **means}]


@pytest.mark.slow
def test_an_ablation_shares_what_cases_have_in_common_and_goes_on(finished) -> None:
    found = json.loads(finished.run("arrcoc", "ablate", "--seeds", "1", "--json", "--docs").stdout)
    assert [row["left_out"] for row in found["rows"]] == list(CASES.values())
    assert all(len(values) == 1 for row in found["rows"] for values in row["scores"].values())
    folder = finished.root / "data" / FOLDER
    same = [folder / f"{case}_0/data/mask_region_alignment/model.safetensors" for case in ("all", "relevance_learning")]
    assert same[0].stat().st_ino == same[1].stat().st_ino  # linked, not trained again
    own = finished.root / "data" / CHAIN[-1] / "scores.json"
    assert own.stat().st_ino == (folder / f"all_0/data/{CHAIN[-1]}/scores.json").stat().st_ino  # nor the line itself
    assert "| without relevance_learning |" in (finished.root / "docs" / "benchmarks.md").read_text()
    (folder / "relevance_learning_0" / "data" / MADE / CHAIN[-1]).unlink()  # as if it was cut there
    again = finished.run("arrcoc", "ablate", "--seeds", "1", "--json")
    assert json.loads(again.stdout) == found
    assert again.stderr.count("  benchmark_scores") == 1 and "  relevance_learning" not in again.stderr
