"""`arrcoc status`: what is fresh, stale or missing, and why."""

import json

from orchestration.terminal.options import AsJson, workspace


def status(as_json: AsJson = False) -> None:
    """Show which stages are fresh, stale or missing, and why."""
    from orchestration.freshness.staleness import states
    from orchestration.runs.watched import print_status

    found = states(*workspace())
    if as_json:
        print(json.dumps({"stages": [state.to_json() for state in found]}))
    else:
        print_status(found)
