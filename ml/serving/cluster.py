"""`arrcoc serve` where `RAY_ADDRESS` names a cluster."""

import os
import signal
import sys
import threading
from pathlib import Path

from ml.compute import ray_cluster
from ml.serving.limits import KEY, Limits
from ml.serving.released import Released
from ml.workspace import Workspace

NAME = "arrcoc"


def serve(package: Path, host: str, port: int, workers: int, limits: Limits, ws: Workspace | None = None) -> None:
    """Serve a released folder on the cluster until this process is told to stop; what is at work then may finish.

    Raises:
        UserError: there is no released model, no Ray, or no cluster.
    """
    Released(package)  # says what is wrong with it in a line, before replicas are started
    ray_cluster.connect()
    from ray import serve as on_ray

    from ml.serving.replicas import application

    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    on_ray.start(proxy_location="HeadOnly", http_options={"host": host, "port": port})
    try:
        on_ray.run(application(package, workers, limits, os.environ.get(KEY), ws), name=NAME)
        print(f"arrcoc: http://{host}:{port} on the cluster's head; /docs tells what to send", file=sys.stderr)
        told.wait()
    finally:
        on_ray.shutdown()
