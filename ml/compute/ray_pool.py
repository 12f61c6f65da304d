"""Work on many shards, on a Ray cluster: one task a shard, tried again where its worker or node dies.

The nodes see the workspace, and this code, under the same paths (a shared file system): what Ray moves are the names
of shards and small reports. A shard that was finished before its node died is found current by its key, and skipped.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ml.compute import ray_cluster
from ml.errors import UserError

Result = TypeVar("Result")


class RayPool:
    """Tasks on the cluster of `RAY_ADDRESS`, or on the one that runs on this machine.

    `retries`: how often a shard is tried again after its worker or node has died; an exception of its own is final.
    """

    def __init__(self, retries: int) -> None:
        self.retries = retries
        self._ray: Any = None

    def map(
        self, function: Callable[[str], Result], shards: Sequence[str], gpu: bool = False
    ) -> Iterator[tuple[str, Result]]:
        """As `Pool.map`; a task takes one core, and with `gpu` one GPU, where the cluster has any.

        Raises:
            UserError: there is no Ray or no cluster, or a shard's workers died again and again.
        """
        ray = self._connect()
        gpus = int(gpu and ray.cluster_resources().get("GPU", 0) > 0)
        task = ray.remote(_call).options(num_cpus=1, num_gpus=gpus, max_retries=self.retries)
        pending = {task.remote(function, shard): shard for shard in shards}
        try:
            while pending:
                done = ray.wait(list(pending))[0][0]
                shard = pending.pop(done)
                yield shard, self._result(done, shard)
        finally:
            for reference in pending:
                ray.cancel(reference)

    def close(self) -> None:
        """Leave the cluster; it goes on."""
        if self._ray is not None:
            self._ray.shutdown()
            self._ray = None

    def _result(self, done: Any, shard: str) -> Any:
        try:
            return self._ray.get(done)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"{shard}: its Ray worker died {self.retries + 1} times ({reason}); see `ray status`, then run again"
            ) from error

    def _connect(self) -> Any:
        if self._ray is None:
            self._ray = ray_cluster.connect()
        return self._ray


def _call(function: Callable[[str], Result], shard: str) -> Result:
    return function(shard)
