"""`arrcoc sync`: bring the tracking store up to date."""

import typer

from orchestration.terminal.options import AsJson, say, workspace


def sync(as_json: AsJson = False) -> None:
    """Send the runs that the tracking store did not take when they ran, and say which.

    They wait in data/.keys/journal; a later run with a store that answers sends them too.
    """
    from orchestration.following import pending

    found = pending.sync(*workspace())
    say(as_json, found, pending.page(found))
    raise typer.Exit(2 if found["refused"] else 0)
