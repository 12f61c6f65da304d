"""One shard that models are asked about: a process gets ready for them while the stages above are run here.

torch, open_clip and spaCy take longer to import than a shard to be made anew in all of its stages.
"""

import gc
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from ml.compute.memory import SELDOM
from ml.compute.pool import Pool, Result, ShardPool, alone, open_pool, outcome
from ml.params import Params
from ml.workspace import Workspace, stages
from ml.workspace.snapshot import Snapshot
from orchestration.freshness.staleness import state_of

MODELS = (
    "ml.labeling.captioners.choice",
    "ml.labeling.features",
    "ml.labeling.labels",
    "ml.models.frozen.clip",
    "ml.models.frozen.sam",
    "ml.toytown.judge",
    "pandas",
    "spacy",
)
AFTER = ("ml.labeling.training_set.data_card", "dvc.repo")  # what is done here once the models have answered


class Ahead:
    """A pool in which a single shard of a stage with models finds all imported, in a process of its own."""

    def __init__(self, pool: Pool, language: str) -> None:
        """`language`: the model that reads captions."""
        self._pool, self._process = pool, alone()
        self._process.submit(_get_ready, language)

    def map(
        self, function: Callable[[str], Result], shards: Sequence[str], gpu: bool = False
    ) -> Iterator[tuple[str, Result]]:
        """As `Pool.map`; a single shard without models is worked on in the calling process."""
        if len(shards) > 1:
            yield from self._pool.map(function, shards, gpu)
        elif not gpu:
            yield from ((shard, function(shard)) for shard in shards)
        else:
            done = self._process.submit(function, shards[0])
            for module in AFTER:
                import_module(module)
            yield shards[0], outcome(done)

    def close(self) -> None:
        """Let go of the processes, and of what is being imported and no longer wanted."""
        self._pool.close()
        for process in multiprocessing.active_children():
            process.kill()
        self._process.shutdown()


def pool_ahead(ws: Workspace, params: Params) -> Pool:
    """The pool for a run: where one shard alone is stale, with what models take on its way."""
    pool = open_pool(params.shards)
    return Ahead(pool, params.labels.language) if isinstance(pool, ShardPool) and _one_is_stale(ws, params) else pool


def _one_is_stale(ws: Workspace, params: Params) -> bool:
    """Whether the first stage with shards that is stale lacks a single one."""
    at = Snapshot(ws)
    sharded = (name for name, stage in stages.load(ws).items() if stage.per == "shard")
    todo = (state.todo for name in sharded if (state := state_of(name, at, params)).state != "fresh")
    return len(next(todo, [])) == 1


def _get_ready(language: str) -> None:
    """Import what models take, and use what else is loaded when it is first used."""
    gc.set_threshold(*SELDOM)
    for module in MODELS:
        import_module(module)
    import numpy as np

    from ml.labeling.geometry.relations import measure
    from ml.labeling.language.english import english
    from ml.masks import Masks

    english(language).read(["two red balls"])
    measure(Masks.parse(["01"], (1, 1)), np.array([-1]), 0.0)
