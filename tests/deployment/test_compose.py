from __future__ import annotations

import re
from typing import Any

import pytest

from tests.cluster.store_server import compose_users
from tests.deployment.files import DEPLOY, ROOT, compose, load_yaml

SERVICES: dict[str, Any] = compose()["services"]
OWN = ("api-1", "api-2", "worker")


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_confined_watched_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]  # and so Docker's own seccomp profile
    assert service["pids_limit"] > 0
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["mem_limit"]
    assert re.search(r":v?\d+\.\d+", service["image"]) or name in OWN


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_reaches_the_host(name: str) -> None:
    loosened = {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "userns_mode", "cgroup_parent", "uts"}
    assert not loosened & set(SERVICES[name])
    assert not any("docker.sock" in volume for volume in SERVICES[name].get("volumes", []))
    # Nobody is made root; what an image runs as is its own affair, and ours run as 10001.
    assert SERVICES[name].get("user", "1").partition(":")[0] not in ("0", "root")


@pytest.mark.parametrize("name", OWN)
def test_our_own_containers_need_no_shell(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert isinstance(SERVICES[name]["command"], list)
    assert "entrypoint" not in SERVICES[name]


@pytest.mark.parametrize("name", OWN)
def test_our_own_containers_are_checked_where_they_listen(name: str) -> None:
    service = SERVICES[name]
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    port = service["environment"].get("COREFACE_WORKER_PORT", "8000")
    assert service["healthcheck"]["test"] == ["CMD", "python", "/opt/coreface/healthcheck.py", port]


def test_an_api_process_has_time_to_drain_and_finish() -> None:
    for name in ("api-1", "api-2"):
        grace_s = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
        assert grace_s >= float(SERVICES[name]["environment"]["COREFACE_DRAIN_DELAY_S"]) + 35


def test_the_balancer_and_prometheus_know_where_the_processes_are() -> None:
    balancer = SERVICES["balancer"]["environment"]
    apis = [balancer[f"COREFACE_API_{number}"] for number in (1, 2)]
    assert apis == ["api-1:8000", "api-2:8000"]
    jobs = {job["job_name"]: job for job in load_yaml(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]}
    assert jobs["coreface-api"]["static_configs"] == [{"targets": apis}]
    worker = jobs["coreface-worker"]["dns_sd_configs"][0]
    assert str(worker["port"]) == SERVICES["worker"]["environment"]["COREFACE_WORKER_PORT"]
    operators = balancer["COREFACE_BALANCER_METRICS_BIND"]
    assert jobs["coreface-balancer"]["static_configs"] == [{"targets": [f"balancer{operators}"]}]


def test_nothing_is_open_to_other_machines_by_itself() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports == ["${COREFACE_PUBLISH:-127.0.0.1:8000}:8080", "127.0.0.1:3000:3000"]
    assert compose()["networks"]["inside"] == {"internal": True}


def test_templates_are_not_evicted_and_survive_a_restart() -> None:
    command = " ".join(SERVICES["store"]["command"])
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command
    assert "store-data:/data" in SERVICES["store"]["volumes"]


def test_every_mounted_file_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _target, mode = (*volume.split(":"), "")[:3]
            if source.startswith("./"):
                assert (ROOT / source).exists()
                assert mode == "ro"


def test_what_has_to_be_set_is_in_the_example() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert required == set(re.findall(r"^(\w+)=$", (DEPLOY / "compose.env.example").read_text(), re.MULTILINE))


def test_the_documented_access_rule_is_this_one() -> None:
    assert compose_users("PASSWORD") in (ROOT / "docs" / "deploying.md").read_text()
