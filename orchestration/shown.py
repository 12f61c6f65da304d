"""What Dagster's page tells of a stage beside its description: why it is stale, in the words of `arrcoc status`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from ml.params import Params
from ml.training.tracking import browse, store
from ml.workspace import Workspace
from ml.workspace.stages import Stage
from orchestration.freshness.staleness import State

LAST_VALID = "What is shown is of the last params that could be used."


@dataclass(frozen=True)
class Shown:
    """The states by stage, links to their other pages, and why none of it is of today, if so."""

    states: Mapping[str, State] = field(default_factory=dict)
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    trouble: str = ""

    @classmethod
    def of(cls, ws: Workspace, params: Params, states: Sequence[State]) -> "Shown":
        """The stages of a workspace as they are now."""
        return cls(
            {state.name: state for state in states}, {state.name: _links(ws, params, state.name) for state in states}
        )

    def description(self, stage: Stage) -> str:
        """What the stage makes, below what is to be known of it now: the graph shows the first words alone."""
        if self.trouble:
            return f"**Cannot run:** {self.trouble}\n\n{LAST_VALID}\n\n{stage.description}"
        state = self.states.get(stage.name)
        if state is None or state.state == "fresh":
            return stage.description
        return f"**{state.state.capitalize()}:** {'; '.join(state.reasons)}\n\n{stage.description}"

    def metadata(self, name: str) -> dict[str, dg.MetadataValue]:
        """Links to the MLflow run that made what lies there, to all scores and to its data, as they are served now."""
        return {label: dg.MetadataValue.url(address) for label, address in self.links.get(name, {}).items()}


def _links(ws: Workspace, params: Params, stage: str) -> dict[str, str]:
    pages = {"mlflow": store.run_page(ws, params, stage), "mlflow scores": store.scores_page(ws, params, stage)}
    pages["browse"] = browse.address(stage)
    return {label: address for label, address in pages.items() if address}
