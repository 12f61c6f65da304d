"""A Ray cluster of this machine."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MEGABYTES_80 = 80 * 1024**2  # of object store, about the least that Ray takes


@contextmanager
def ray_cluster(cores: int, **system: Any) -> Iterator[Any]:
    """A cluster of a head with some cores; `system`: Ray's own settings."""
    from ray.cluster_utils import Cluster

    with (
        tempfile.TemporaryDirectory(
            prefix="ray", ignore_cleanup_errors=True
        ) as folder,  # a socket's path has 107 letters
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TMPDIR", folder)  # where it notes the running cluster, in a folder that it takes for there
        (Path(folder) / "ray").mkdir()
        head = {"num_cpus": cores, "include_dashboard": False, "object_store_memory": MEGABYTES_80, "temp_dir": folder}
        found = Cluster(initialize_head=True, head_node_args=head | {"_system_config": system})
        try:
            yield found
        finally:
            found.shutdown()
