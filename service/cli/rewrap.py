"""`coreface rewrap`: everything kept is brought under the first key of the ring."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from service.cli.operator_settings import read_settings
from service.cli.operator_store import connected, store_url
from service.cli.service_options import JsonOption
from service.cli.terminal import ProgressUpdate, Terminal

if TYPE_CHECKING:
    from service.settings import Settings


def rewrap(as_json: JsonOption = False) -> None:
    """Bring all templates and API keys under the first key of COREFACE_SEALING_KEY. The service may go on meanwhile."""
    settings = read_settings()
    terminal = Terminal(as_json=as_json)
    with terminal.progress("opening the store") as update, store_url(settings, beside_service=True) as url:
        templates, api_keys = asyncio.run(_rewrap(settings, url, update))
    if as_json:
        terminal.show_json({"templates": templates, "api_keys": api_keys})
    else:
        terminal.show_line(f"{templates} templates and {api_keys} API keys are under the first key of the ring")


async def _rewrap(settings: Settings, url: str, update: ProgressUpdate) -> tuple[int, int]:
    from service.store.rewrapping import Rewrapper
    from service.store.sealing import load_key_ring
    from service.store.template_store import RedisTemplateStore

    ring = load_key_ring(settings)
    async with connected(url) as redis:
        rewrapper = Rewrapper(
            redis, ring, lambda tenant: RedisTemplateStore(redis, ring, settings.retention, tenant=tenant)
        )
        templates = await rewrapper.rewrap_templates(lambda done: update(f"{done} templates", 0.0))
        return templates, await rewrapper.rewrap_api_keys()
