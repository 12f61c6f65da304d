"""Images built and started without a daemon: buildah, with chroot isolation, on a Debian base made here.

It needs root, and the Debian packages buildah, mmdebstrap and iproute2; a test that wants it skips where they are not.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

BASE = "docker.io/library/debian:bookworm-slim"
LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
)  # of Debian's slim images
TOOLS = ("buildah", "mmdebstrap", "unshare", "nsenter", "ip")
CERTIFICATES = "/mnt/certificates"  # where a build finds what pip trusts here
ROOT = Path(__file__).parents[2]


def require() -> None:
    """Skip the test where images cannot be built."""
    lacking = [tool for tool in TOOLS if not shutil.which(tool)]
    if lacking:
        pytest.skip(f"no {', '.join(lacking)} here (apt-get install buildah mmdebstrap iproute2 util-linux)")
    if os.getuid():
        pytest.skip("images are built here by root alone")


@dataclass(frozen=True)
class Store:
    """A store of images in a folder of its own."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """A command line of buildah."""
        places = ["--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")]
        return ["buildah", "--storage-driver", "vfs", *places, *arguments]

    def run(self, *arguments: str) -> str:
        """Run buildah; a failure shows what it printed."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout.strip()

    def make_base(self) -> None:
        """Make what the Dockerfile takes from a registry elsewhere: a minimal Debian, without its documentation."""
        tree = self.folder / "base.tar"
        without = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", *without, "bookworm", str(tree)], check=True)
        container = self.run("from", "scratch")
        self.run("add", "--quiet", container, str(tree), "/")
        self.run("commit", "--quiet", "--rm", container, BASE)
        tree.unlink()

    def build(self, target: str) -> str:
        """Build a target of the Dockerfile, with the package index of this machine's pip; the image's name."""
        settings = pip_settings()
        secret = self.folder / "pip.conf"
        secret.write_text("".join(["[global]\n", *(f"{key} = {value}\n" for key, value in settings.items())]))
        name = f"arrcoc-{target}"
        how = ["--pull=never", "--isolation=chroot", "--format=docker", "--quiet", f"--secret=id=pip,src={secret}"]
        what = [f"--target={target}", f"--tag={name}", f"--file={ROOT / 'deploy' / 'Dockerfile'}", str(ROOT)]
        self.run("bud", *how, *mounts(settings), *what)
        return name

    def inspect(self, image: str) -> dict[str, Any]:
        """An image's configuration, as Docker has it: `Cmd`, `User`, `Healthcheck`."""
        return dict(json.loads(self.run("inspect", "--type=image", image))["Docker"]["config"])


def pip_settings() -> dict[str, str]:
    """Where this machine's pip looks for packages, as far as it is not its default: {option: value}."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    rows = sorted((line.split("=", 1) for line in listed.splitlines()), key=lambda row: row[0].startswith(":env:"))
    found = {name.rpartition(".")[2]: literal_eval(value) for name, value in rows}  # the environment's come last
    wanted = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy")
    settings = {key: found[key] for key in wanted if key in found}
    return settings | ({"cert": CERTIFICATES} if "cert" in found else {})


def mounts(settings: dict[str, str]) -> list[str]:
    """The folders of this machine that a build reads: packages that lie here, and whom pip trusts."""
    words = [word for value in settings.values() for word in value.split()]
    folders = [Path(word) for word in words if word.startswith("/") and word != CERTIFICATES]
    folders += [Path(urlsplit(word).path).parent for word in words if word.startswith("file://")]  # packages lie beside
    found = [f"--volume={place}:{place}:ro" for place in folders if place.exists()]
    certificates = os.environ.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt"
    return [*found, *([f"--volume={certificates}:{CERTIFICATES}:ro"] if "cert" in settings else [])]


@dataclass(frozen=True)
class Container:
    """A container of an image, in a network where nobody else is: the ports are those of the image itself."""

    store: Store
    name: str
    network: int  # a process in it
    mounted: Sequence[str]

    def command(self, *words: str) -> list[str]:
        """The command line that runs one inside, as the image's user."""
        inside = [f"--volume={one}" for one in self.mounted]
        return [*self.beside(), *self.store.command("run", "--isolation=chroot", *inside, self.name, "--", *words)]

    def beside(self, *words: str) -> list[str]:
        """The command line that runs one outside, in the same network."""
        return ["nsenter", f"--target={self.network}", "--net", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False)

    @contextmanager
    def started(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that runs inside for as long as the test needs it."""
        with subprocess.Popen(self.command(*words)) as process:
            try:
                yield process
            finally:
                for one in [*children(process), process]:
                    one.kill()

    def holds(self, package: str) -> bool:
        """Whether Python finds a package inside."""
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
        return self.run("python", "-c", code).returncode == 0


def children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """What a command inside a container has become on this machine, and what it has started."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@contextmanager
def container(store: Store, image: str, *mounted: str) -> Iterator[Container]:
    """A container of an image, removed in the end; `mounted`: `folder:place:ro`."""
    name = store.run("from", "--pull=never", image)
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep infinity"]) as network:
        try:
            while psutil.Process(network.pid).name() != "sleep":
                time.sleep(0.05)
            yield Container(store, name, network.pid, mounted)
        finally:
            network.kill()
            store.run("rm", name)
