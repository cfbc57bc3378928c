from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from service.policies import image_limits
from service.settings import EngineKind, Settings
from service.vision.image_format import ImageFormat

TABLE = Path(__file__).parents[1] / "docs" / "settings.md"


def flatten(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        nested = info.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from flatten(nested, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper(), info


def shown_default(info: FieldInfo) -> str:
    default = info.get_default(call_default_factory=True)
    return "unset" if default is None else f"`{getattr(default, 'value', default)}`"


def test_every_setting_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `(COREFACE_\w+)` \| (.+?) \| (.+) \|$", TABLE.read_text(), re.MULTILINE)
    expected = [(name, shown_default(info), info.description) for name, info in flatten(Settings, "COREFACE_")]
    assert sorted(rows) == sorted(expected)


def test_the_environment_is_read_nested(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COREFACE_ENGINE", "local")
    monkeypatch.setenv("COREFACE_LIMITS__MAX_SAMPLES", "7")
    monkeypatch.setenv("COREFACE_STATE_DIR", str(tmp_path))
    settings = Settings()
    assert settings.engine is EngineKind.LOCAL
    assert settings.limits.max_samples == 7
    assert settings.packs_path == tmp_path / "packs"
    monkeypatch.setenv("COREFACE_PACKS_DIR", "~/packs")
    assert Settings().packs_path == Path.home() / "packs"


@pytest.mark.parametrize(
    ("name", "value"),
    [("COREFACE_ENGINE", "magic"), ("COREFACE_PORT", "70000"), ("COREFACE_LIMITS__MAX_SAMPLES", "0")],
)
def test_a_wrong_value_refuses_to_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()


def test_limits_that_refuse_every_face_refuse_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREFACE_QUALITY__MIN_BRIGHTNESS", "0.9")
    monkeypatch.setenv("COREFACE_QUALITY__MAX_BRIGHTNESS", "0.1")
    with pytest.raises(ValidationError, match="above max_brightness"):
        Settings()


def test_lists_have_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREFACE_ALLOWED_HOSTS", "api.example.org, [2001:db8::1],10.0.0.1")
    monkeypatch.setenv("COREFACE_TRUSTED_PROXIES", "10.0.0.0/8,2001:db8::/32 , 192.0.2.1")
    settings = Settings()
    assert settings.allowed_hosts == ("api.example.org", "[2001:db8::1]", "10.0.0.1")
    networks = ("10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32")
    assert settings.trusted_proxies == tuple(map(ip_network, networks))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COREFACE_ALLOWED_HOSTS", ""),
        ("COREFACE_ALLOWED_HOSTS", "api.example.org:443"),
        ("COREFACE_ALLOWED_HOSTS", "https://api.example.org"),
        ("COREFACE_TRUSTED_PROXIES", ""),
        ("COREFACE_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("COREFACE_TRUSTED_PROXIES", "balancer"),
    ],
)
def test_a_list_of_what_it_does_not_hold_refuses_to_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREFACE_REDIS_URL", "redis://:a-password@host:6379")
    monkeypatch.setenv("COREFACE_SEALING_KEY", "a-key")
    assert "a-password" not in repr(Settings())
    assert "a-key" not in repr(Settings())


def test_the_accepted_formats_are_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().limits.image_formats == {ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.BMP}
    monkeypatch.setenv("COREFACE_LIMITS__FORMATS", "jpeg, heic")
    assert Settings().limits.image_formats == {ImageFormat.JPEG, ImageFormat.HEIC}
    assert image_limits(Settings().limits).formats == Settings().limits.image_formats


@pytest.mark.parametrize("value", ["", " , ", "jpeg,svg"])
def test_unknown_formats_and_none_refuse_to_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("COREFACE_LIMITS__FORMATS", value)
    with pytest.raises(ValidationError, match="unknown formats"):
        Settings()
