"""What Dagster's page shows of a report."""

from ml.report import Report
from orchestration.metadata import ROWS, metadata

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


def test_a_large_picture_is_named_not_embedded(tmp_path):
    shown = metadata(Report(pictures={"large.png": bytes(500_000)}), tmp_path)
    assert shown["large.png"].value == str(tmp_path / "large.png")
