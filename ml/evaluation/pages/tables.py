"""The tables of scores that README, docs, Dagster and MLflow show, from what `scores.json` holds.

Beside each score stands the best of the baselines, so that nobody has to ask.
"""

from collections.abc import Collection, Mapping
from typing import Any

Rows = list[dict[str, str]]
Headline = tuple[str, str, tuple[str, ...], str, str | None]
WAYS = "refcoco/ways"  # has kinds of its own, which the other splits of referring expressions have not
GOALS = {"heldout": 80.0}  # beside the milestones of params: of what the town alone has
HEADLINES: tuple[Headline, ...] = (  # benchmark and metric in words, splits, metric, goal
    ("relevance benchmark", "relevance accuracy", ("relevance/val",), "accuracy", "relevance"),
    ("relevance benchmark", "the same, of answering nothing", ("relevance/val",), "all-zero accuracy", None),
    ("Flickr30k Entities test", "R@1, AnyBox", ("flickr30k/test",), "R@1", "flickr30k"),
    ("Flickr30k, in grammar never taught", "R@1, AnyBox", ("flickr30k/ways",), "R@1", None),
    ("RefCOCO val", "acc@0.5", ("refcoco/val",), "acc@0.5", "refcoco"),
    ("RefCOCO+ val / testA / testB", "acc@0.5", ("refcoco+/val", "refcoco+/testA", "refcoco+/testB"), "acc@0.5", None),
    ("RefCOCOg test", "acc@0.5", ("refcocog/test",), "acc@0.5", None),
    ("RefCOCO, held-out combinations", "acc@0.5", ("refcoco/heldout",), "acc@0.5", "heldout"),
    ("RefCOCO, in ways never taught", "acc@0.5", (WAYS,), "acc@0.5", None),
    ("grounding map alone, RefCOCO val", "acc@0.5", ("grounding/val",), "acc@0.5", "grounding"),
    ("LVIS val, zero-shot, standard protocol", "box AP", ("lvis/val",), "AP", None),
    ("Flickr30k test, captions", "BLEU-4", ("flickr30k_captions/test",), "BLEU-4", None),
    ("VQA v2 val", "exact match", ("vqa/val",), "exact match", None),
    ("absence val", "found where absent", ("absence/val",), "found where absent", None),
    ("absence val", "missed where present", ("absence/val",), "missed where present", None),
    ("absence val", "AUC", ("absence/val",), "AUC", None),
)
JUDGED_BY = {"found where absent": "AUC", "missed where present": "AUC"}  # either is 0 for who says the same of all
LOWER = ("calibration error",)  # the lower, the better
BEST = "best baseline"
REFERRING = ("refcoco", "refcoco+", "refcocog")
SHOWN = {  # of the benchmarks that are not referring expressions
    "flickr30k/": ("R@1", "R@5", "R@10", "R@1 MergedBox", "R@5 MergedBox", "R@10 MergedBox", "pointing", "ceiling"),
    "lvis/": ("AP", "ceiling", "AP50", "AR", "fixed AP", "mask AP", "mask ceiling", "mask AP50"),
    "relevance/": (
        "accuracy",
        "balanced accuracy",
        "all-zero accuracy",
        "calibration error",
        "pearson",
        "grounding IoU",
        "hierarchical consistency",
        "hierarchical consistency of the truth",
    ),
    "grounding/": ("acc@0.5", "mask IoU", "pointing"),
    "flickr30k_captions/": ("BLEU-4", "BLEU-4 of the next image"),
    "vqa/": ("exact match", "VQA accuracy", "commonest answer"),
    "absence/": ("found where absent", "missed where present", "AUC", "calibration error"),
}
BY_KIND = {
    WAYS: ("acc@0.5",),
    "flickr30k/": ("R@1",),
    "relevance/": ("balanced accuracy",),
    "vqa/": ("exact match",),
    "absence/": ("found where absent", "missed where present", "AUC"),
}


def headlines(names: Collection[str]) -> list[str]:
    """The headline scores among those named, in their order: ["relevance/val/accuracy", ...]."""
    ordered = [f"{split}/{metric}" for _, _, splits, metric, _ in HEADLINES for split in splits]
    return [name for name in ordered if name in names]


def summary(found: Mapping[str, Any]) -> Rows:
    """The headline scores with their goals, of the benchmarks that were scored."""
    goals = GOALS | {row["name"]: row["goal"] for row in found["milestones"]}
    rows = []
    for what, words, splits, metric, milestone in HEADLINES:
        if all(metric in found["scores"].get(split, {}) for split in splits):
            interval = _interval(found, splits[0], metric) if len(splits) == 1 else ""
            score = " / ".join(_value(found, split, metric) for split in splits)
            row = {"benchmark": what, "metric": words, "score [95 %]": f"{score} {interval}".strip()}
            row[BEST] = " / ".join(_best(found, split, metric) for split in splits)
            goal = goals.get(milestone or "")
            verdict = "" if goal is None else "met" if found["scores"][splits[0]][metric] >= goal else "missed"
            rows.append({**row, "goal": "-" if goal is None else f"{goal:g}", "verdict": verdict})
    return rows


def referring(found: Mapping[str, Any]) -> Rows:
    """Every split of referring expressions."""
    plain = ("acc@0.7", "gIoU", "cIoU", "ceiling")
    return [
        {
            "split": split,
            "acc@0.5": _value(found, split, "acc@0.5"),
            "95 %": _interval(found, split, "acc@0.5"),
            BEST: _best(found, split, "acc@0.5"),
        }
        | {metric: _value(found, split, metric) for metric in plain}
        for split in found["scores"]
        if split.startswith(REFERRING)
    ]


def others(found: Mapping[str, Any]) -> Rows:
    """Every other benchmark, a row a metric."""
    return [
        {
            "benchmark": split,
            "metric": metric,
            "score": _value(found, split, metric),
            "95 %": _interval(found, split, metric),
            BEST: _best(found, split, metric),
        }
        for start, metrics in SHOWN.items()
        for split in found["scores"]
        if split.startswith(start)
        for metric in metrics
        if metric in found["scores"][split]
    ]


def referring_kinds(found: Mapping[str, Any]) -> Rows:
    """acc@0.5 of each kind of expression, size of the object and number of others of its category; (how many).

    Below each split the best baseline, kind by kind.
    """
    splits = {split: groups for split, groups in sorted(found["breakdown"].items()) if _refers(split) and split != WAYS}
    kinds = sorted({kind for groups in splits.values() for kind in groups}, key=lambda kind: (":" in kind, kind))
    rows = []
    for split, groups in splits.items():
        rows.append({"split": split} | {k: _counted(groups[k], "acc@0.5") if k in groups else "" for k in kinds})
        best = {kind: _best(found, split, "acc@0.5", kind) for kind in kinds}
        rows += [{"split": f"{split}, {BEST}"} | best] if any(best.values()) else []
    return rows


def other_kinds(found: Mapping[str, Any]) -> Rows:
    """The scores of each type of phrase, query and answer; (how many)."""
    return [
        {"benchmark": split, "kind": kind, "metric": metric, "score": _counted(values, metric)}
        | {BEST: _best(found, split, metric, kind)}
        for start, metrics in BY_KIND.items()
        for split, groups in sorted(found["breakdown"].items())
        if split.startswith(start)
        for kind, values in groups.items()
        if ":" not in kind
        for metric in metrics
        if metric in values
    ]


def baselines(found: Mapping[str, Any]) -> Rows:
    """Every baseline's headline scores, a row a score, ours first."""
    rows = []
    for what, words, splits, metric, _ in HEADLINES:
        for split in splits:
            others = {name: _at(scored, split, metric) for name, scored in found.get("baselines", {}).items()}
            if any(value is not None for value in others.values()):
                row = {"benchmark": what if len(splits) == 1 else split, "metric": words}
                row |= {"trained": _value(found, split, metric)}
                rows.append(row | {name: "" if value is None else f"{value:.1f}" for name, value in others.items()})
    return rows


def _best(found: Mapping[str, Any], split: str, metric: str, kind: str | None = None) -> str:
    """What the best baseline reaches, and which that is; "" where none is scored so."""
    judge = JUDGED_BY.get(metric, metric)
    values = {
        name: (_at(scored, split, judge, kind), _at(scored, split, metric, kind))
        for name, scored in found.get("baselines", {}).items()
    }
    known = {name: (merit, value) for name, (merit, value) in values.items() if merit is not None and value is not None}
    if not known:
        return ""
    name, (_, value) = max(known.items(), key=lambda pair: -pair[1][0] if judge in LOWER else pair[1][0])
    return f"{value:.1f} ({name})"


def _at(scored: Mapping[str, Any], split: str, metric: str, kind: str | None = None) -> float | None:
    groups = scored["scores"].get(split, {}) if kind is None else scored["breakdown"].get(split, {}).get(kind, {})
    value: float | None = groups.get(metric)
    return value


def _refers(split: str) -> bool:
    return split.startswith((*REFERRING, "grounding/"))


def _counted(values: Mapping[str, float], metric: str) -> str:
    return f"{values[metric]:.1f} ({values['questions']:,})"


def _value(found: Mapping[str, Any], split: str, metric: str) -> str:
    value = found["scores"][split].get(metric)
    return "" if value is None else f"{value:.2f}" if abs(value) <= 1 else f"{value:.1f}"


def _interval(found: Mapping[str, Any], split: str, metric: str) -> str:
    bounds = found["intervals"].get(split, {}).get(metric)
    return "" if bounds is None else "[{}]".format(", ".join(f"{v:.2f}" if abs(v) <= 1 else f"{v:.1f}" for v in bounds))
