"""What Dagster's page shows of a report."""

import re
from pathlib import Path

import dagster as dg
import numpy as np
from PIL import Image

from ml.workspace.report import Report
from orchestration.metadata import DIALOG, INLINE, ROWS, metadata


def test_numbers_tables_and_rejects_are_shown(tmp_path):
    report = Report(
        numbers={"masks": 12, "fraction": 0.5, "source": "toytown"},
        tables={"scores": [{"name": "a|b", "value": 0.123456}, {"name": "c", "value": None}]},
        rejected={"empty": 3},
    )
    shown = metadata(report, tmp_path, "stage")
    assert (shown["masks"].value, shown["fraction"].value, shown["source"].value) == (12, 0.5, "toytown")
    assert shown["scores"].value == "| name | value |\n| --- | --- |\n| a\\|b | 0.1235 |\n| c |  |"
    assert shown["rejected empty"].value == 3


def test_a_long_table_is_cut_and_says_so(tmp_path):
    text = metadata(Report(tables={"t": [{"n": n} for n in range(ROWS + 7)]}), tmp_path, "stage")["t"].value
    assert text.endswith("7 rows more")


def test_a_wide_table_opens_a_dialog(tmp_path):
    narrow, wide = [{"case": "a", "value": 1.0}], [{f"column {n}": "some words" for n in range(8)}]
    shown = metadata(Report(tables={"narrow": narrow, "wide": wide}), tmp_path, "stage")
    assert len(shown["narrow"].value) < DIALOG < len(shown["wide"].value)


def test_a_picture_is_shown_in_the_page_and_kept_whole(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), np.uint8))
    noise.save(tmp_path / "noise.png")
    png = (tmp_path / "noise.png").read_bytes()
    shown = metadata(Report(pictures={"large.png": png}), tmp_path, "stage")["large.png"].value
    assert len(shown) < DIALOG
    small, whole = re.fullmatch(r"\[!\[large.png\]\(/logs/(.*)\)\]\(/logs/(.*)\)", shown).groups()
    assert served(tmp_path, whole).read_bytes() == png
    with Image.open(served(tmp_path, small)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (INLINE, INLINE * 3 // 4))


def served(home: Path, address: str) -> Path:
    """The file that Dagster's server hands out at an address below /logs."""
    *key, suffix = address.split("/")
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        return Path(instance.compute_log_manager.get_captured_local_path(key, suffix))
