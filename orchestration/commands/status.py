"""`arrcoc status`: what is fresh, stale or missing, and why."""

import json

from orchestration.terminal.options import AsJson, workspace


def status(as_json: AsJson = False) -> None:
    """Show which stages are fresh, stale or missing, and why; and what is being run now, by whom."""
    from orchestration.freshness.lock import holder
    from orchestration.freshness.staleness import states
    from orchestration.runs.watched import print_status

    ws, params = workspace()
    found, running = states(ws, params), holder(ws)
    if as_json:
        stages = [state.to_json() for state in found]
        print(json.dumps({"stages": stages, "running": running.to_json() if running else None}))
    else:
        print_status(found, running)
