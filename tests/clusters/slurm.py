"""Two nodes of a Slurm on this machine."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from ml.training.launchers.processes import free_port
from tests.clusters.waiting import wait_for

SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
ReturnToService=2
SlurmdTimeout=10
KillWait=30
MinJobAge=300
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool.%n
SlurmdLogFile={folder}/slurmd.%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=4000
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


class SlurmCluster:
    """Two Slurm nodes of this machine, n1 and n2, each of one core."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        (self.folder / "state").mkdir()
        ports = [free_port() for _ in range(3)]
        self.conf.write_text(SLURM_CONF.format(host=socket.gethostname(), folder=self.folder, ports=ports))
        (self.folder / "munge.key").write_bytes(secrets.token_bytes(128))
        (self.folder / "munge.key").chmod(0o600)
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log"}
        self._daemon(
            "munged", "--foreground", "--force", *(f"--{name}={self.folder / file}" for name, file in files.items())
        )
        wait_for(lambda: (self.folder / "munge.socket").exists())
        self._daemon("slurmctld", "-D")
        for node in ("n1", "n2"):
            self.node(node)
        wait_for(lambda: self.do("sinfo", "-h", "-o", "%T").split() == ["idle"])

    def node(self, name: str) -> None:
        """Start a node's daemon."""
        self._daemon(name, "-D", "-N", name, program="slurmd")

    def kill_node(self, name: str) -> None:
        """End a node's daemon and all that it runs, at once, as a power cut would."""
        lost = [psutil.Process(self.daemons.pop(name).pid)]
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("SLURMD_NODENAME") == name and process.environ().get("SLURM_CONF") == str(
                    self.conf
                ):
                    lost += [process, *(above for above in process.parents() if above.name() == "slurmstepd")]
        for process in lost:
            with suppress(psutil.Error):
                process.kill()

    def do(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        env = os.environ | {"SLURM_CONF": str(self.conf)}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    def stop(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self.do("scancel", "--state=RUNNING", "--state=PENDING")
            wait_for(lambda: not self.do("squeue", "-h"))
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            daemon.wait(60)

    def _daemon(self, name: str, *arguments: str, program: str = "") -> None:
        env = os.environ | {"SLURM_CONF": str(self.conf)}
        out = (self.folder / f"{name}.out").open("ab")
        path = shutil.which(program or name, path=f"{os.environ['PATH']}:/usr/sbin")
        assert path is not None
        self.daemons[name] = subprocess.Popen([path, *arguments], env=env, stdout=out, stderr=out)


@contextmanager
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A Slurm of two nodes on this machine, named in SLURM_CONF; skips where Debian's slurm-wlm is not installed."""
    if os.geteuid() != 0 or not all(shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("slurmctld", "munged")):
        pytest.skip("needs root, and Debian's packages slurm-wlm and munge")
    with tempfile.TemporaryDirectory(prefix="slurm") as folder, pytest.MonkeyPatch.context() as patch:
        cluster = SlurmCluster(Path(folder))
        patch.setenv("SLURM_CONF", str(cluster.conf))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
