"""The manifests under `deploy/kubernetes`, as they lie there and as kustomize puts them together."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
Manifest = dict[str, Any]


def read(folder: Path) -> list[Manifest]:
    """What a folder's kustomization lists."""
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    return [one for name in listed for one in yaml.safe_load_all((folder / name).read_text(encoding="utf-8"))]


def name(manifest: Manifest) -> str:
    """Its kind and name."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pod(manifest: Manifest) -> Manifest:
    """The pods that a Deployment or a Job starts."""
    return dict(manifest["spec"]["template"]["spec"])


def containers(manifest: Manifest) -> dict[str, Manifest]:
    """Its containers by name, those that prepare it included."""
    found = pod(manifest)
    return {one["name"]: one for one in [*found.get("initContainers", []), *found["containers"]]}


def environment(container: Manifest) -> dict[str, str]:
    """The variables with a value of their own."""
    return {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}
