"""Two hosts on this machine: network namespaces with an sshd each."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.clusters.waiting import wait_for


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
