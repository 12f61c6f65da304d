"""The model card: what the model is, how it scores, what it was made from. The same inputs give the same bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml.params import Params
from ml.workspace.lineage import Made
from ml.workspace.stages import Stage

Row = Mapping[str, Any]

TRACE = "`arrcoc trace model` names the MLflow runs too, and walks on to the shards and the rejected masks."
LIMITS = (
    "Relevance was learned from a CLIP's similarities and a captioner's words, not from people's judgement,",
    "and inherits their mistakes. Queries with negation or counting were not trained.",
)


def card(
    params: Params,
    compression: Row,
    scores: Row,
    inputs: Mapping[str, str],
    line: Sequence[Row],
    drop: float,
    held: bool,
) -> str:
    """The card as Markdown.

    Args:
        inputs: the md5 of each file that the model was made from.
        line: the stages above, as `lineage_rows` gives them.
        drop, held: points lost by int8, and whether that is few enough.
    """
    gate = "held" if held else "not held: the model is not registered"
    limit = params.release.max_drop
    sections: list[tuple[str, Sequence[str]]] = [
        (
            f"# {params.release.model_name}",
            [*about(params), "", f"Release gate, int8 at most {limit} points below fp32: {drop:+.2f} points, {gate}."],
        ),
        (
            "## Variants",
            [
                *table(compression["variants"]),
                "",
                f"RefCOCO val, acc@0.5 in percent, {compression['questions']} questions. int8 is what is released.",
            ],
        ),
        ("## Scores (fp32, percent)", table(score_rows(scores["scores"]))),
        ("## Milestones", table(scores["milestones"])),
        ("## Made from", table([{"file": file, "md5": md5} for file, md5 in inputs.items()])),
        ("## Lineage", [*table(line), "", TRACE]),
        ("## Limits", LIMITS),
    ]
    return "\n".join(line for title, text in sections for line in (title, "", *text, ""))


def about(params: Params) -> list[str]:
    """What the model is, in three lines."""
    return [
        "Text-conditioned spatial relevance: from an image and a query to a score for every mask, a grounding map",
        f"and a box. Frozen SAM ({params.backbones.sam.model_type}) and CLIP ({params.backbones.clip.model_name}),",
        f"trained on pseudo-labels of SA-1B-format shards from `{params.shards.source}`.",
    ]


def lineage_rows(line: Mapping[str, Made], declared: Mapping[str, Stage]) -> list[dict[str, Any]]:
    """A row a stage: what it wrote, what it read, how many params it was made with.

    MLflow's run ids are left out: a stage run again with the same outcome leaves the card as it is.
    """
    return [
        {
            "stage": name,
            "md5": made["out"],
            "made from": ", ".join(declared[name].upstream),
            "params": len(made["params"]),
        }
        for name, made in line.items()
    ]


def table(rows: Sequence[Row]) -> list[str]:
    """Rows as lines of a Markdown table; columns in the order they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [[_cell(row.get(column, "")) for column in columns] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in [columns, ["---"] * len(columns), *lines]]


def score_rows(scores: Mapping[str, Row]) -> list[dict[str, Any]]:
    """The first number of each benchmark split, its headline."""
    numbers = {split: [(k, v) for k, v in row.items() if isinstance(v, int | float)] for split, row in scores.items()}
    return [{"split": split, "metric": found[0][0], "value": found[0][1]} for split, found in numbers.items() if found]


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
