"""`arrcoc doctor`: whether this machine and workspace are fit for a run."""

import json
from dataclasses import asdict
from pathlib import Path

import typer

from orchestration.terminal.options import AsJson


def doctor(as_json: AsJson = False) -> None:
    """Look at what a run needs, and say what is found and what mends it; exit code 2 if anything is wrong."""
    from orchestration.checkup.checkup import checkup
    from orchestration.terminal import console

    findings = checkup(Path.cwd())
    if as_json:
        print(json.dumps({"checks": [asdict(item) for item in findings]}))
    else:
        console.stdout().print(console.checkup_table(findings))
    raise typer.Exit(2 if any(item.state == "wrong" for item in findings) else 0)
