"""`arrcoc ui` on PostgreSQL: runs are launched there, and the pages outlive its absence."""

import time

import pytest

from tests.orchestration.conftest import Served

LOCATIONS = """{workspaceOrError {... on Workspace {locationEntries {locationOrLoadError {__typename}}}}}"""


def loaded(pages: Served) -> bool:
    (location,) = pages.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
    return location["locationOrLoadError"]["__typename"] == "RepositoryLocation"


@pytest.mark.slow
def test_the_pages_launch_runs_before_and_after_an_absence(town, use, served, postgres):
    use("pages", town.ws)
    with served(town.ws.root) as pages:
        first = pages.launch("backbones")
        assert pages.await_end(first) == "SUCCESS"
        postgres.stop()
        time.sleep(30)  # longer than Dagster tries to connect
        postgres.start()
        assert pages.process.poll() is None
        assert pages.status(first) == "SUCCESS"
        pages.wait(lambda: loaded(pages), "the definitions, which could not be loaded meanwhile", 120)
        assert pages.await_end(pages.launch("backbones")) == "SUCCESS"
        assert pages.process.poll() is None
