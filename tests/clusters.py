"""Clusters of this machine, for tests: of Ray, of Slurm, of hosts with an sshd."""

import inspect
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from ml.training.launchers.processes import free_port

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


def wait_for(found: Callable[[], object], seconds: float = 60.0) -> None:
    """Ask until it is so."""
    begun = time.monotonic()
    while not found():
        assert time.monotonic() - begun < seconds, f"not so after {seconds:.0f} s: {inspect.getsource(found).strip()}"
        time.sleep(0.2)


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


class Hosts:
    """Two network namespaces on a bridge, each with an sshd that knows one key; to each other they are hosts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = ("10.77.0.2", "10.77.0.3")
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def set_up(self) -> None:
        for key in ("host", "user"):
            _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key))
        shutil.copy(self.folder / "user.pub", self.folder / "authorized")
        Path("/run/sshd").mkdir(exist_ok=True)
        _do("ip", "link", "add", "arrcoc0", "type", "bridge")
        _do("ip", "addr", "add", "10.77.0.1/24", "dev", "arrcoc0")
        _do("ip", "link", "set", "arrcoc0", "up")
        for number, name in enumerate(self.names):
            space, link = f"arrcoc{number}", f"arrcoc-v{number}"
            _do("ip", "netns", "add", space)
            _do("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
            _do("ip", "link", "set", link, "master", "arrcoc0", "up")
            for words in (f"addr add {name}/24 dev eth0", "link set eth0 up", "link set lo up"):
                _do("ip", "-n", space, *words.split())
            self.start(name)

    def start(self, name: str) -> None:
        """Plug the host in and switch it on."""
        number = self.names.index(name)
        _do("ip", "link", "set", f"arrcoc-v{number}", "up")
        if name not in self.daemons:
            options = {
                "HostKey": self.folder / "host",
                "AuthorizedKeysFile": self.folder / "authorized",
                "StrictModes": "no",
                "PidFile": "none",
                "UsePAM": "no",
            }
            sshd = [
                "/usr/sbin/sshd",
                "-D",
                "-e",
                "-f",
                "/dev/null",
                *(f"-o{key}={value}" for key, value in options.items()),
            ]
            self.daemons[name] = subprocess.Popen(
                ["ip", "netns", "exec", f"arrcoc{number}", *sshd], stderr=subprocess.DEVNULL
            )
        wait_for(lambda: self._answers(name))

    def cut_off(self, name: str) -> None:
        """Pull the host's network cable."""
        _do("ip", "link", "set", f"arrcoc-v{self.names.index(name)}", "down")

    def power_off(self, name: str) -> None:
        """End all that runs on the host, at once."""
        self.daemons.pop(name)
        for process in _processes_of(f"arrcoc{self.names.index(name)}"):
            with suppress(psutil.Error):
                process.kill()

    def at_work(self) -> list[psutil.Process]:
        """What runs on the hosts beside their daemons: the processes of a training."""
        found = [process for number in range(2) for process in _processes_of(f"arrcoc{number}")]
        return [process for process in found if "ml.training.main" in " ".join(process.cmdline())]

    def write_hostfile(self, file: Path) -> None:
        file.write_text("".join(f"{name} slots=1\n" for name in self.names))

    def tear_down(self) -> None:
        for number, name in enumerate(self.names):
            if name in self.daemons:
                self.power_off(name)
            subprocess.run(["ip", "netns", "del", f"arrcoc{number}"], capture_output=True)
        subprocess.run(["ip", "link", "del", "arrcoc0"], capture_output=True)

    def _answers(self, name: str) -> bool:
        options = os.environ["PDSH_SSH_ARGS_APPEND"].split()
        return not subprocess.run(["ssh", *options, name, "true"], capture_output=True).returncode


def _processes_of(space: str) -> list[psutil.Process]:
    done = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True)
    return [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Two hosts of this machine; skips where that takes more rights or programs than there are."""
    lacking = [
        name for name in ("sshd", "ssh", "pdsh", "ip") if not shutil.which(name, path="/usr/sbin:/usr/bin:/sbin")
    ]
    if os.geteuid() != 0 or lacking:
        pytest.skip(f"needs root, and Debian's openssh-server, pdsh and iproute2; lacking: {lacking}")
    with tempfile.TemporaryDirectory(prefix="hosts") as folder, pytest.MonkeyPatch.context() as patch:
        found = Hosts(Path(folder))
        options = f"-i {folder}/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        patch.setenv("PDSH_SSH_ARGS_APPEND", options)
        try:
            found.set_up()
            yield found
        finally:
            found.tear_down()
