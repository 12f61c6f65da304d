"""The manifests of `deploy/kubernetes` against what Kubernetes and Dagster publish: no cluster has run them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes.client
import kubernetes_validate
import pytest
import yaml
from dagster import DagsterRun
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job

from ml.training.launchers.processes import free_port
from tests.conftest import Checkout
from tests.deploy import composed
from tests.deploy.manifests import FOLDER, Manifest, containers, environment, name, pod, read

VERSIONS = ("1.29", "1.33", "1.37")
TRAINING = FOLDER / "training"
ALL = [*read(FOLDER), *read(TRAINING)]
RUNNING = [one for one in ALL if one["kind"] in ("Deployment", "Job")]
DAGSTER = yaml.safe_load((FOLDER / "dagster.yaml").read_text())
LAUNCHER = DAGSTER["run_launcher"]["config"]
NOWHERE = {
    "clusters": [{"name": "nowhere", "cluster": {"server": "https://127.0.0.1:9"}}],
    "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
    "users": [{"name": "nobody", "user": {}}],
    "current-context": "nowhere",
}


@pytest.fixture(scope="module")
def run_job(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The job that Dagster would start for a run."""
    kubeconfig = tmp_path_factory.mktemp("nowhere") / "config"
    kubeconfig.write_text(yaml.safe_dump(NOWHERE))
    given = {**LAUNCHER, "load_incluster_config": False, "kubeconfig_file": str(kubeconfig)}
    checked = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), given)
    assert checked.success, checked.errors
    launcher = K8sRunLauncher.from_config_value(None, checked.value)
    context = K8sContainerContext.create_for_run(DagsterRun("backbones_job"), launcher, include_run_tags=False)
    settings = context.get_k8s_job_config(job_image="arrcoc-line", run_launcher=launcher)
    job = construct_dagster_k8s_job(
        settings, ["dagster", "api", "execute_run"], "dagster-run-1", context.run_k8s_config, component="run_worker"
    )
    return dict(kubernetes.client.ApiClient().sanitize_for_serialization(job))


def validate(manifest: Manifest) -> None:
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("manifest", ALL, ids=name)
def test_manifests_are_what_kubernetes_publishes(manifest: Manifest) -> None:
    validate(manifest)


def test_a_key_that_kubernetes_does_not_know_is_seen() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        validate({**ALL[0], "sepc": {}})


@pytest.mark.parametrize("folder", [FOLDER, TRAINING], ids=["all", "training"])
def test_kustomize_puts_them_together(folder: Path) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl here")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True)
    found = list(yaml.safe_load_all(done.stdout))
    for manifest in found:
        validate(manifest)
        assert manifest["kind"] == "Namespace" or manifest["metadata"]["namespace"] == LAUNCHER["job_namespace"]
    running = [manifest for manifest in found if "template" in manifest.get("spec", {})]
    images = {one["image"] for manifest in running for one in containers(manifest).values()}
    assert all(image.startswith("registry.example/") for image in images)
    for code in [containers(one)["code"] for one in running if name(one) == "Deployment/pages"]:
        assert environment(code)["DAGSTER_CURRENT_IMAGE"] == code["image"]


def test_the_instance_is_one_that_dagster_takes(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_bytes((FOLDER / "dagster.yaml").read_bytes())
    settings, _ = dagster_instance_config(str(tmp_path))
    assert settings["run_monitoring"]["enabled"]
    elsewhere = yaml.safe_load((FOLDER.parent / "servers" / "dagster.yaml").read_text())
    assert {key: DAGSTER[key] for key in elsewhere} == elsewhere  # beside the launcher as without Kubernetes


def test_a_run_gets_a_pod_that_kubernetes_takes(run_job: Manifest) -> None:
    validate(run_job)
    (container,) = containers(run_job).values()
    assert container["args"] == ["dagster", "api", "execute_run"]
    assert environment(container)["DAGSTER_HOME"] == "/workspace/.dagster"
    places = [one["mountPath"] for one in container["volumeMounts"]]
    assert {"/workspace", "/workspace/.dagster/dagster.yaml", "/dev/shm"} <= set(places)


def test_what_pods_refer_to_is_there(run_job: Manifest) -> None:
    claims = {one["metadata"]["name"] for one in ALL if one["kind"] == "PersistentVolumeClaim"}
    accounts = {one["metadata"]["name"] for one in ALL if one["kind"] == "ServiceAccount"}
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["configMapGenerator"]
    maps = {one["name"]: one for one in listed}
    for manifest in [*RUNNING, run_job]:
        for volume in pod(manifest).get("volumes", []):
            assert volume.get("persistentVolumeClaim", {}).get("claimName", "workspace") in claims
            assert volume.get("configMap", {}).get("name", "dagster") in maps
        assert pod(manifest).get("serviceAccountName", "dagster") in accounts
        for source in [one for container in containers(manifest).values() for one in container.get("envFrom", [])]:
            assert source.get("configMapRef", {"name": "settings"})["name"] in maps
            assert source.get("secretRef", {"name": "secrets"})["name"] == "secrets"


def test_pods_are_nobody_in_particular(run_job: Manifest) -> None:
    for manifest in [*RUNNING, run_job]:
        assert pod(manifest)["securityContext"]["runAsNonRoot"]
        for container in containers(manifest).values():
            assert not container["securityContext"]["allowPrivilegeEscalation"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_services_are_those_of_compose() -> None:
    services = composed.read({})["services"]
    found = {key: one for manifest in RUNNING for key, one in containers(manifest).items()}
    for service in ("mlflow", "code", "webserver", "daemon", "serve"):
        assert found[service]["args"] == services[service]["command"]
    ours, theirs = environment(found["mlflow"]), services["mlflow"]["environment"]
    assert ours == {key: theirs[key] for key in ours}


@pytest.mark.slow
def test_the_training_job_trains_a_stage_that_dagster_takes_over(finished: Checkout, tmp_path: Path) -> None:
    """Each of its pods as a process here, by its command and variables; of the eight GPUs it asks for there is none."""
    stage, town = "mask_region_alignment", Checkout(tmp_path / "town")
    shutil.copytree(finished.root, town.root, symlinks=True)
    params = town.root / "params.yaml"
    params.write_text(params.read_text().replace("processes: 1", "processes: 2").replace("lr: 1.0e-3", "lr: 9.0e-4", 1))
    assert state(town, stage) == "stale"
    port = str(free_port())
    commands = [pod_command(town.root, node, stage, port) for node in ("0", "1")]
    env = os.environ | {"PYTHONPATH": str(town.root)}
    pods = [subprocess.Popen(command, cwd=town.root, env=env) for command in commands]
    assert [one.wait(600) for one in pods] == [0, 0]
    town.run("dvc", "commit", "--force", stage)
    assert state(town, stage) == "fresh"
    assert town.json("arrcoc", "report", "--json")["run_ids"][stage]


def state(town: Checkout, stage: str) -> str:
    rows = town.json("arrcoc", "status", "--json")["stages"]
    return next(row["state"] for row in rows if row["name"] == stage)


def pod_command(root: Path, node: str, stage: str, port: str) -> list[str]:
    """What the kubelet would start in a pod of the job."""
    job = next(one for one in ALL if name(one) == "Job/training")
    assert job["spec"]["completions"] == 2 and job["spec"]["completionMode"] == "Indexed"
    container = containers(job)["training"]
    assert {one["name"] for one in container["env"]} == {"NODE", "STAGE"}
    here = {"$(NODE)": node, "$(STAGE)": stage, "=training-0.training": "=127.0.0.1", "=29500": f"={port}"}
    here |= {"--nproc-per-node=8": "--nproc-per-node=1", "=/workspace": f"={root}"}
    words = list(container["args"])
    for old, new in here.items():
        assert any(old in word for word in words), old
        words = [word.replace(old, new) for word in words]
    return [str(Path(sys.executable).with_name(words[0])), *words[1:]]
