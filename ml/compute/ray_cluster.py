"""The Ray cluster that `RAY_ADDRESS` names, or that runs on this machine.

Its nodes see the workspace, and this code, under the same paths (a shared file system).
"""

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ml.errors import UserError, cut

PROBE_SECONDS = 5.0  # Ray itself tries an address that does not answer for two minutes, then ends the process
CODE = Path(__file__).parents[2]


def connect() -> Any:
    """The module `ray`, connected; its processes find `ml` beside this very code.

    Raises:
        UserError: there is no Ray or no cluster.
    """
    ray = _import()
    address = os.environ.get("RAY_ADDRESS") or "auto"
    _probe(address)
    environment = {"env_vars": {"PYTHONPATH": _python_path(), "OMP_NUM_THREADS": "1"}}
    try:
        ray.init(address, runtime_env=environment, log_to_driver=False, logging_level="ERROR")
    except (Exception, SystemExit) as error:  # SystemExit: how Ray gives up on a cluster that is gone
        raise UserError(_unusable(address, cut(str(error), 200))) from error
    return ray


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
