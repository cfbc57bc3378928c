"""What is shipped for running the service, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from service.settings import Settings
from tests.test_settings import flatten

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
SETTINGS = {name for name, _ in flatten(Settings, "COREFACE_")}

Document = dict[str, Any]


def load_yaml(path: Path) -> Document:
    """The one document of a file."""
    (document,) = load_all(path)
    return document


def load_all(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def compose() -> Document:
    return load_yaml(ROOT / "docker-compose.yml")


def base_objects() -> list[Document]:
    """Of the kustomize base, without what it takes from other folders."""
    kustomization = load_yaml(KUBERNETES / "base" / "kustomization.yaml")
    files = [KUBERNETES / "base" / name for name in kustomization["resources"] if name.endswith(".yaml")]
    return [document for path in files for document in load_all(path)]


def find_object(objects: list[Document], kind: str, name: str) -> Document:
    (found,) = [entry for entry in objects if entry["kind"] == kind and entry["metadata"]["name"] == name]
    return found


def container(objects: list[Document], deployment: str) -> Document:
    """The only container of a Deployment."""
    containers: list[Document] = find_object(objects, "Deployment", deployment)["spec"]["template"]["spec"][
        "containers"
    ]
    (found,) = containers
    return found
