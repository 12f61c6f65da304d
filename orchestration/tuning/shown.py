"""What a study found, as an object, on the terminal, and in the docs."""

from typing import Any

import optuna

from ml.workspace import Workspace
from ml.workspace.atomic import atomic_path
from orchestration.terminal import console, docs
from orchestration.tuning.study import ASKED, OUTCOMES, OVER, SCORED, WHY, best, short

BESIDE = ("refcoco/testA/acc@0.5", "refcoco/testB/acc@0.5", "refcoco/heldout/acc@0.5", "grounding/val/acc@0.5")


def found(study: optuna.Study) -> dict[str, Any]:
    """{"study", "score", "trials": [{"number", "outcome", "params", "value", "why"}], "best": trial's number}."""
    winner = best(study)
    trials = [
        {
            "number": trial.number,
            "outcome": OUTCOMES[trial.state],
            "params": trial.params,
            "value": trial.value,
            "scores": trial.user_attrs.get(SCORED, {}),
            "why": trial.user_attrs.get(WHY, ""),
        }
        for trial in study.get_trials(states=OVER)
    ]
    number = None if winner is None else winner.number
    return {"study": study.study_name, "score": study.user_attrs[ASKED]["score"], "trials": trials, "best": number}


def table(result: dict[str, Any]) -> list[dict[str, str]]:
    """A row a trial, the best first; those given up, and why, last."""
    keys = sorted({key for trial in result["trials"] for key in trial["params"]})
    done = [trial for trial in result["trials"] if trial["value"] is not None]
    rest = [trial for trial in result["trials"] if trial["value"] is None]
    best_first = sorted(done, key=lambda trial: (trial["number"] != result["best"], trial["number"]))
    return [_row(trial, keys, result["score"]) for trial in (*best_first, *rest)]


def show(result: dict[str, Any]) -> None:
    """The trials on stdout, and the best one's params."""
    screen, rows = console.stdout(), table(result)
    if not rows:
        screen.print("No trial is over yet.")
        return
    screen.print(console.table(list(rows[0]), [list(row.values()) for row in rows]))
    if result["best"] is not None:
        winner = next(trial for trial in result["trials"] if trial["number"] == result["best"])
        screen.print(f"\nBest, for params.yaml (trial {winner['number']}; trial 0 has the params as they are):")
        for key, value in winner["params"].items():
            screen.print(f"  {key}: {short(value)}", markup=False)


def write_docs(ws: Workspace, result: dict[str, Any], picture: bytes) -> None:
    """The table into docs/benchmarks.md, the picture beside it."""
    docs.write(ws.root / "docs" / "benchmarks.md", "tuning", docs.table(table(result)))
    with atomic_path(ws.root / "docs" / "tuning.png") as tmp:
        tmp.write_bytes(picture)


def _row(trial: dict[str, Any], keys: list[str], score: str) -> dict[str, str]:
    row = {"trial": str(trial["number"])} | {key: short(trial["params"].get(key, "")) for key in keys}
    names = [score, *(name for name in BESIDE if name != score)]
    scores = {name: f"{trial['scores'][name]:.1f}" if name in trial["scores"] else "" for name in names}
    return row | scores | {"outcome": f"{trial['outcome']}{': ' if trial['why'] else ''}{trial['why']}"}
