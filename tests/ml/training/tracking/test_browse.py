"""Where a run, and Dagster's page, lead to for what a stage made."""

import pytest

from ml.training.tracking import browse, provenance
from ml.training.tracking.journal import NOTE


def test_a_run_says_where_its_data_is_shown_though_no_page_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (browse.BROWSE_PAGE, provenance.DAGSTER_RUN):
        monkeypatch.delenv(name, raising=False)
    assert provenance.pages("benchmark_scores") == {"browse": "arrcoc ui, /browse#page=benchmarks"}
    assert provenance.pages("compressed_model") == {}
    assert browse.address("training_set") is None


def test_a_run_links_to_the_pages_that_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(browse.BROWSE_PAGE, "http://127.0.0.1:8001")
    monkeypatch.setenv(provenance.DAGSTER_RUN, "0123456789")
    monkeypatch.setenv(provenance.DAGSTER_PAGE, "http://127.0.0.1:3000")
    shown = "http://127.0.0.1:8001/browse#page=training"
    assert provenance.pages("relevance_learning") == {
        "browse": shown,
        "dagster_run_id": "0123456789",
        NOTE: f"[Dagster run 01234567](http://127.0.0.1:3000/runs/0123456789), [Browse]({shown})",
    }
