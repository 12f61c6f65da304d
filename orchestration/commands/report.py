"""`arrcoc report`: the scores and the runs they come from."""

import json

from orchestration.terminal.options import AsJson, Docs, workspace


def report(as_json: AsJson = False, docs: Docs = False) -> None:
    """Print the scores, the milestones, and the MLflow runs they come from."""
    from orchestration import results
    from orchestration.terminal import console

    ws, params = workspace()
    found = results.report(ws, params)
    if docs:
        from orchestration.terminal.docs import write_scores

        write_scores(ws)
    if as_json:
        print(json.dumps(found))
        return
    screen = console.stdout()
    screen.print(console.score_table(found["scores"]), "", console.milestone_table(found["milestones"]), "", sep="\n")
    screen.print("\n".join(f"{name} [dim]MLflow run {run}[/]" for name, run in found["run_ids"].items()))
