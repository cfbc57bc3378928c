from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.runtime.manifest import Manifest
from service.settings import Settings
from service.store.keys import job_stream_key
from tests.deployment.files import KUBERNETES, ROOT, SETTINGS, base_objects, container, find_object, load_all, load_yaml

OBJECTS = base_objects()
OVERLAYS = ("cpu", "gpu", "trial")
DEPLOYMENTS = {"coreface-api": 8000, "coreface-worker": 8001}
FINISH_S = 35
"""What the API takes at most for what it has taken."""


def pod(deployment: str) -> dict[str, Any]:
    spec: dict[str, Any] = find_object(OBJECTS, "Deployment", deployment)["spec"]["template"]["spec"]
    return spec


def settings_map() -> dict[str, str]:
    (generator,) = load_yaml(KUBERNETES / "base" / "kustomization.yaml")["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generator["literals"])


@pytest.mark.parametrize("path", sorted(KUBERNETES.rglob("kustomization.yaml")), ids=lambda path: path.parent.name)
def test_every_file_is_listed_and_every_listed_one_is_there(path: Path) -> None:
    kustomization = load_yaml(path)
    listed = [*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", []))]
    for name in listed:
        target = path.parent / name
        assert target.is_file() if name.endswith(".yaml") else (target / "kustomization.yaml").is_file()
    assert {name for name in listed if "/" not in name} == {
        other.name for other in path.parent.glob("*.yaml") if other != path
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_builds_every_overlay(overlay: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("namespace: coreface\n") > 10


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_pods_meet_the_restricted_standard(name: str) -> None:
    spec = pod(name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(OBJECTS, name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    user = spec["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}\n" in (ROOT / "docker" / "Dockerfile.cpu").read_text()


def workloads() -> list[dict[str, Any]]:
    """Pod specifications of everything that runs, patches and the trial's store included."""
    overlays = [path for path in sorted((KUBERNETES / "overlays").rglob("*.yaml")) if path.name != "kustomization.yaml"]
    objects = [*OBJECTS, *(document for path in overlays for document in load_all(path))]
    return [entry["spec"]["template"]["spec"] for entry in objects if entry["kind"] in ("Deployment", "StatefulSet")]


def test_nothing_reaches_the_node_or_needs_a_shell() -> None:
    specs = workloads()
    assert len(specs) == len(DEPLOYMENTS) + 2
    for spec in specs:
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(spec)
        assert not any("hostPath" in volume for volume in spec.get("volumes", []))
        for own in [*spec["containers"], *spec.get("initContainers", [])]:
            assert "command" not in own
            assert not [name for name in own if name.endswith("Probe") and "exec" in own[name]]
            assert "lifecycle" not in own


def test_no_patch_loosens_what_the_base_confines() -> None:
    patch = load_yaml(KUBERNETES / "overlays" / "gpu" / "worker-gpu.yaml")
    assert "securityContext" not in patch["spec"]["template"]["spec"]
    assert "securityContext" not in container([patch], "coreface-worker")


def test_the_store_of_the_trial_is_confined_too() -> None:
    objects = load_all(KUBERNETES / "overlays" / "trial" / "store.yaml")
    spec = find_object(objects, "StatefulSet", "coreface-store")["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [store] = spec["containers"]
    assert store["securityContext"] == container(OBJECTS, "coreface-api")["securityContext"]


def test_the_namespace_refuses_pods_that_are_not_confined() -> None:
    labels = find_object(OBJECTS, "Namespace", "coreface")["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"restricted"}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_no_service_of_the_namespace_becomes_a_setting(name: str) -> None:
    # Kubernetes would set COREFACE_PORT=tcp://... for a Service named coreface.
    assert pod(name)["enableServiceLinks"] is False


@pytest.mark.parametrize(("name", "port"), DEPLOYMENTS.items())
def test_probes_ask_where_the_process_listens(name: str, port: int) -> None:
    own = container(OBJECTS, name)
    (named,) = own["ports"]
    assert named["containerPort"] == port
    paths = {"startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready"}
    for probe, path in paths.items():
        assert own[probe]["httpGet"] == {"path": path, "port": named["name"]}
    policy = find_object(OBJECTS, "NetworkPolicy", name)
    assert policy["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": port}]
    (endpoint,) = find_object(OBJECTS, "PodMonitor", name)["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == named["name"]
    assert (endpoint["path"], own["args"]) == ("/metrics", [name.removeprefix("coreface-")])


def test_the_worker_listens_where_its_settings_say() -> None:
    assert settings_map()["COREFACE_WORKER_PORT"] == str(DEPLOYMENTS["coreface-worker"])


def test_pods_have_time_to_stop() -> None:
    drain_s = float(settings_map()["COREFACE_DRAIN_DELAY_S"])
    assert pod("coreface-api")["terminationGracePeriodSeconds"] >= drain_s + FINISH_S
    assert pod("coreface-worker")["terminationGracePeriodSeconds"] > Settings().limits.request_timeout_s
    assert all("lifecycle" not in container(OBJECTS, name) for name in DEPLOYMENTS)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_settings_and_secrets_come_from_outside(name: str) -> None:
    own = container(OBJECTS, name)
    assert own["envFrom"] == [{"configMapRef": {"name": "coreface-settings"}}]
    assert set(settings_map()) <= SETTINGS
    entries = {entry["name"]: entry for entry in own["env"]}
    secrets = {
        name: entry["valueFrom"]["secretKeyRef"]["key"]
        for name, entry in entries.items()
        if name.endswith(("URL", "KEY"))
    }
    assert secrets == {"COREFACE_REDIS_URL": "redis-url", "COREFACE_SEALING_KEY": "sealing-key"}
    assert set(entries) <= SETTINGS | {"KEDA_STORE_ADDRESS"}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_selectors_find_their_pods(name: str) -> None:
    deployment = find_object(OBJECTS, "Deployment", name)["spec"]
    labels = {"app.kubernetes.io/name": name}
    assert deployment["template"]["metadata"]["labels"] == labels
    assert deployment["selector"]["matchLabels"] == labels
    for kind in ("PodDisruptionBudget", "PodMonitor"):
        assert find_object(OBJECTS, kind, name)["spec"]["selector"]["matchLabels"] == labels
    assert find_object(OBJECTS, "NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"] == labels
    # What an autoscaler sets is not set here as well.
    assert "replicas" not in deployment


def test_the_service_leads_to_the_api() -> None:
    spec = find_object(OBJECTS, "Service", "coreface")["spec"]
    assert spec["selector"] == {"app.kubernetes.io/name": "coreface-api"}
    assert spec["ports"][0]["targetPort"] == container(OBJECTS, "coreface-api")["ports"][0]["name"]


def test_workers_follow_the_job_stream_of_the_default_pack() -> None:
    manifest = Manifest.model_validate_json((ROOT / "models/packs/opencv-sface/manifest.json").read_bytes())
    scaled = find_object(OBJECTS, "ScaledObject", "coreface-worker")["spec"]
    assert scaled["scaleTargetRef"] == {"name": "coreface-worker"}
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"]["stream"] == job_stream_key(manifest.fingerprint)
    variables = {entry["name"] for entry in container(OBJECTS, "coreface-worker")["env"]}
    assert trigger["metadata"]["addressFromEnv"] in variables
    assert trigger["metadata"]["streamLength"] == str(Settings().max_batch_sets)
    assert manifest.name == Settings().pack
    find_object(OBJECTS, "TriggerAuthentication", trigger["authenticationRef"]["name"])


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_overlays_name_the_images_that_are_built(overlay: str) -> None:
    images = {
        image["name"]: image for image in load_yaml(KUBERNETES / "overlays" / overlay / "kustomization.yaml")["images"]
    }
    assert set(images) == {container(OBJECTS, name)["image"] for name in DEPLOYMENTS}
    for name, tag in {"coreface-api": "cpu", "coreface-worker": overlay}.items():
        assert (images[name]["newName"], images[name]["newTag"]) == ("coreface", tag)
        assert (ROOT / "docker" / f"Dockerfile.{tag}").is_file()


def test_gpu_workers_ask_for_one() -> None:
    patch = load_yaml(KUBERNETES / "overlays" / "gpu" / "worker-gpu.yaml")
    own = container([patch], "coreface-worker")
    assert own["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "COREFACE_DEVICE", "value": "cuda"} in own["env"]


def test_gpu_workers_can_build_engines_and_keep_them() -> None:
    spec = load_yaml(KUBERNETES / "overlays" / "gpu" / "worker-gpu.yaml")["spec"]["template"]["spec"]
    (own,) = spec["containers"]
    [mount], [volume] = own["volumeMounts"], spec["volumes"]
    assert (mount["name"], "emptyDir" in volume) == (volume["name"], True)
    dockerfile = (ROOT / "docker" / "Dockerfile.gpu").read_text()
    [state] = re.findall(r"COREFACE_STATE_DIR=(\S+)", dockerfile)
    assert Path(mount["mountPath"]) == Settings(state_dir=Path(state)).tensorrt_path
    probe = container(OBJECTS, "coreface-worker")["startupProbe"] | own["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 600


def test_the_store_of_the_trial_keeps_templates() -> None:
    objects = load_all(KUBERNETES / "overlays" / "trial" / "store.yaml")
    (store,) = find_object(objects, "StatefulSet", "coreface-store")["spec"]["template"]["spec"]["containers"]
    arguments = " ".join(store["args"])
    assert "--maxmemory-policy noeviction" in arguments
    assert "--appendonly yes" in arguments
