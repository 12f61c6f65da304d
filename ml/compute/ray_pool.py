"""Work on many shards, on a Ray cluster: one task a shard, tried again where its worker or node dies.

The nodes see the workspace, and this code, under the same paths (a shared file system): what Ray moves are the names
of shards and small reports. A shard that was finished before its node died is found current by its key, and skipped.
"""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ml.errors import UserError, cut

Result = TypeVar("Result")

PROBE_SECONDS = 5.0  # Ray itself tries an address that does not answer for two minutes, then ends the process
CODE = Path(__file__).parents[2]


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
            ray = _import()
            address = os.environ.get("RAY_ADDRESS") or "auto"
            _probe(address)
            environment = {"env_vars": {"PYTHONPATH": _python_path(), "OMP_NUM_THREADS": "1"}}
            try:
                ray.init(address, runtime_env=environment, log_to_driver=False, logging_level="ERROR")
            except (Exception, SystemExit) as error:  # SystemExit: how Ray gives up on a cluster that is gone
                raise UserError(_unusable(address, cut(str(error), 200))) from error
            self._ray = ray
        return self._ray


def _call(function: Callable[[str], Result], shard: str) -> Result:
    return function(shard)


def _import() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray starts
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "shards.pool (or RAY_ADDRESS) asks for Ray, which is not installed; pip install 'arrcoc[ray]', "
            "or set shards.pool to local and unset RAY_ADDRESS"
        ) from error
    return ray


def _probe(address: str) -> None:
    """See that somebody listens at host:port or ray://host:port.

    Raises:
        UserError: nobody does, or it is no such address.
    """
    if address in ("auto", "local"):
        return
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        if not parts.hostname or not parts.port:
            raise UserError(_unusable(address, "host:port or ray://host:port is wanted"))
        socket.create_connection((parts.hostname, parts.port), PROBE_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UserError(_unusable(address, str(error))) from error


def _unusable(address: str, reason: str) -> str:
    if address == "auto":
        return (
            f"shards.pool: ray, but no Ray cluster runs on this machine ({reason}); start one with `ray start --head`, "
            "name one in RAY_ADDRESS, or set shards.pool to local"
        )
    return f"RAY_ADDRESS: no Ray cluster at {address} ({reason}); correct it, or unset it to work on this machine"


def _python_path() -> str:
    """Where a worker finds `ml`: beside this very code."""
    return os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH")]))
