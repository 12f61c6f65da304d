"""The tables of scores in README.md and docs/benchmarks.md, written from `scores.json` between marks.

A mark is a pair of comments: `<!-- scores -->` and `<!-- /scores -->`; what stands between them belongs to the command.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml import results
from ml.atomic import atomic_path
from ml.errors import UserError
from ml.workspace import Workspace

Rows = list[list[str]]
README: tuple[tuple[str, str, tuple[str, ...], str, str | None], ...] = (  # what, in words, splits, metric, milestone
    ("relevance benchmark", "relevance accuracy", ("relevance/val",), "accuracy", "relevance"),
    ("relevance benchmark", "the same, of answering nothing", ("relevance/val",), "all-zero accuracy", None),
    ("Flickr30k Entities test", "R@1, AnyBox", ("flickr30k/test",), "R@1", "flickr30k"),
    ("RefCOCO val", "acc@0.5", ("refcoco/val",), "acc@0.5", "refcoco"),
    ("RefCOCO+ val / testA / testB", "acc@0.5", ("refcoco+/val", "refcoco+/testA", "refcoco+/testB"), "acc@0.5", None),
    ("RefCOCOg test", "acc@0.5", ("refcocog/test",), "acc@0.5", None),
    ("RefCOCO, held-out combinations", "acc@0.5", ("refcoco/heldout",), "acc@0.5", None),
    ("grounding map alone, RefCOCO val", "acc@0.5", ("grounding/val",), "acc@0.5", "grounding"),
    ("LVIS val, zero-shot, standard protocol", "box AP", ("lvis/val",), "AP", None),
    ("Flickr30k test, captions", "BLEU-4", ("flickr30k_captions/test",), "BLEU-4", None),
    ("VQA v2 val", "exact match", ("vqa/val",), "exact match", None),
)
SHOWN = {  # of the benchmarks that are not referring expressions
    "flickr30k/": ("R@1", "R@5", "R@10", "R@1 MergedBox", "R@5 MergedBox", "R@10 MergedBox", "pointing", "ceiling"),
    "lvis/": ("AP", "AP50", "AR", "fixed AP", "mask AP", "mask AP50"),
    "relevance/": (
        "accuracy",
        "balanced accuracy",
        "all-zero accuracy",
        "pearson",
        "grounding IoU",
        "hierarchical consistency",
        "hierarchical consistency of the truth",
    ),
    "grounding/": ("acc@0.5", "mask IoU", "pointing"),
    "flickr30k_captions/": ("BLEU-4", "BLEU-4 of the next image"),
    "vqa/": ("exact match", "VQA accuracy", "commonest answer"),
}


def write_scores(ws: Workspace) -> list[Path]:
    """Write the tables of the last evaluation; the files.

    Raises:
        UserError: there are no scores, or a file has no marks.
    """
    found = results.scores(ws)
    readme, benchmarks = ws.root / "README.md", ws.root / "docs" / "benchmarks.md"
    write(readme, "scores", table(["benchmark", "metric", "score [95 %]", "goal", ""], summary(found)))
    tables = [
        table(["split", "acc@0.5", "95 %", "acc@0.7", "gIoU", "cIoU", "ceiling"], referring(found)),
        table(["benchmark", "metric", "score", "95 %"], others(found)),
        table(["benchmark", "kind", "score", "questions"], kinds(found)),
    ]
    write(benchmarks, "scores", "\n\n".join(tables))
    return [readme, benchmarks]


def write(path: Path, name: str, text: str) -> None:
    """Put `text` between the marks `name` of a Markdown file.

    Raises:
        UserError: the file is missing, or has no such marks.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    try:
        before, between, rest = path.read_text(encoding="utf-8").partition(begin)
    except OSError as error:
        raise UserError(f"{path}: not readable: {error.strerror}; tables are written into a checkout") from error
    _, closed, after = rest.partition(end)
    if not between or not closed:
        raise UserError(f"{path}: no {begin.strip()} before a {end}; put both where the table shall stand")
    with atomic_path(path) as tmp:
        tmp.write_text(f"{before}{begin}{text}\n{end}{after}", encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def summary(found: Mapping[str, Any]) -> Rows:
    """The headline scores with their goals, of the benchmarks that were scored."""
    goals = {row["name"]: row for row in found["milestones"]}
    rows = []
    for what, words, splits, metric, milestone in README:
        if all(metric in found["scores"].get(split, {}) for split in splits):
            goal = goals.get(milestone or "")
            verdict = [f"{goal['goal']:g}", "met" if goal["met"] else "missed"] if goal else ["-", ""]
            values = " / ".join(_value(found, split, metric) for split in splits)
            interval = _interval(found, splits[0], metric) if len(splits) == 1 else ""
            rows.append([what, words, f"{values} {interval}".strip(), *verdict])
    return rows


def referring(found: Mapping[str, Any]) -> Rows:
    """Every split of referring expressions."""
    splits = [split for split in found["scores"] if split.startswith("refcoco")]
    plain = ("acc@0.7", "gIoU", "cIoU", "ceiling")
    return [
        [
            split,
            _value(found, split, "acc@0.5"),
            _interval(found, split, "acc@0.5"),
            *(_value(found, split, metric) for metric in plain),
        ]
        for split in splits
    ]


def others(found: Mapping[str, Any]) -> Rows:
    """Every other benchmark, a row a metric."""
    return [
        [split, metric, _value(found, split, metric), _interval(found, split, metric)]
        for start, metrics in SHOWN.items()
        for split in found["scores"]
        if split.startswith(start)
        for metric in metrics
        if metric in found["scores"][split]
    ]


def kinds(found: Mapping[str, Any]) -> Rows:
    """The headline score of each kind of question, and how many there are."""
    rows = []
    for split, groups in sorted(found["breakdown"].items()):
        for kind, values in groups.items():
            name = next(name for name in values if name != "questions")
            rows.append([split, kind, f"{name} {values[name]:.1f}", f"{values['questions']:,}"])
    return rows


def _value(found: Mapping[str, Any], split: str, metric: str) -> str:
    value = found["scores"][split].get(metric)
    return "" if value is None else f"{value:.2f}" if abs(value) <= 1 else f"{value:.1f}"


def _interval(found: Mapping[str, Any], split: str, metric: str) -> str:
    bounds = found["intervals"].get(split, {}).get(metric)
    return "" if bounds is None else "[{}]".format(", ".join(f"{v:.2f}" if abs(v) <= 1 else f"{v:.1f}" for v in bounds))
