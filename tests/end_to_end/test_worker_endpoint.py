from __future__ import annotations

import httpx
import pytest

from tests.end_to_end.running_service import RunningService

pytestmark = pytest.mark.xdist_group("end_to_end")


def test_the_first_worker_of_serve_answers_on_the_port_of_the_settings(running_service: RunningService) -> None:
    url = f"http://127.0.0.1:{running_service.settings['COREFACE_WORKER_PORT']}"
    assert httpx.get(f"{url}/health/ready").json() == {"status": "ready"}
    assert "coreface_worker_ready 1.0" in httpx.get(f"{url}/metrics").text
