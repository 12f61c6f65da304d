"""What Dagster's page shows of a report."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from ml.workspace.report import Report
from orchestration.metadata import DIALOG, ROWS, metadata

PNG = b"\x89PNG\r\n\x1a\nnot much"


def test_numbers_tables_pictures_and_rejects_are_shown(tmp_path):
    report = Report(
        numbers={"masks": 12, "fraction": 0.5, "source": "toytown"},
        tables={"scores": [{"name": "a|b", "value": 0.123456}, {"name": "c", "value": None}]},
        pictures={"sheet": PNG},
        rejected={"empty": 3},
    )
    shown = metadata(report, tmp_path)
    assert (shown["masks"].value, shown["fraction"].value, shown["source"].value) == (12, 0.5, "toytown")
    assert shown["scores"].value == "| name | value |\n| --- | --- |\n| a\\|b | 0.1235 |\n| c |  |"
    assert shown["rejected empty"].value == 3
    assert "data:image/png;base64," in shown["sheet"].value
    assert (tmp_path / "sheet.png").read_bytes() == PNG


def test_a_long_table_is_cut_and_says_so(tmp_path):
    text = metadata(Report(tables={"t": [{"n": n} for n in range(ROWS + 7)]}), tmp_path)["t"].value
    assert text.endswith("7 rows more")


def test_a_wide_table_opens_a_dialog(tmp_path):
    narrow, wide = [{"case": "a", "value": 1.0}], [{f"column {n}": "some words" for n in range(5)}]
    shown = metadata(Report(tables={"narrow": narrow, "wide": wide}), tmp_path)
    assert len(shown["narrow"].value) < DIALOG < len(shown["wide"].value)


def test_a_large_picture_is_shown_reduced_and_kept_whole(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), np.uint8))
    noise.save(tmp_path / "noise.png")
    png = (tmp_path / "noise.png").read_bytes()
    shown = metadata(Report(pictures={"large.png": png}), tmp_path / "kept")["large.png"].value
    embedded = base64.b64decode(shown.partition("base64,")[2].partition(")")[0])
    with Image.open(BytesIO(embedded)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (1160, 870))
    assert (tmp_path / "kept" / "large.png").read_bytes() == png and str(tmp_path / "kept") in shown
