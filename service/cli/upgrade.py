"""`coreface upgrade`: kept templates made again with another pack's aggregator, without their images."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.completion import complete_pack
from service.cli.operator_settings import read_settings
from service.cli.operator_store import connected, store_url
from service.cli.service_options import JsonOption
from service.cli.terminal import ProgressUpdate, Terminal

if TYPE_CHECKING:
    from service.pipeline.upgrading import Upgrade
    from service.settings import Settings


def upgrade(
    to: Annotated[
        str,
        typer.Option("--to", help="Installed pack that the templates are brought to.", autocompletion=complete_pack),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring kept templates to another pack. Ends with 0 when all are, 1 when some need their images again.

    Works where packs differ in their aggregator alone. Ids, times and subjects stay. Stop the service first, then start
    it with the new pack; running it again goes on where it ended.
    """
    from service.pipeline.upgrading import Upgrade

    settings = read_settings().model_copy(update={"pack": to, "calibration": None})
    terminal = Terminal(as_json=as_json)
    with terminal.progress("opening the store") as update, store_url(settings) as url:
        found = asyncio.run(_upgrade_all(settings, url, dry_run, update))
    counts = {outcome.value: sum(each is outcome for each in found.values()) for outcome in Upgrade}
    wanting = {
        outcome.value: sorted(template_id for template_id, each in found.items() if each is outcome)
        for outcome in (Upgrade.NEEDS_IMAGES, Upgrade.REFUSED)
    }
    if as_json:
        terminal.show_json({"pack": to, "dry_run": dry_run, "counts": counts, **wanting})
    else:
        terminal.show_table(("templates", ""), [(name, str(count)) for name, count in counts.items()])
        for name, ids in wanting.items():
            for template_id in ids:
                terminal.show_line(f"{name}: {template_id}")
    if any(wanting.values()):
        raise typer.Exit(1)


async def _upgrade_all(settings: Settings, url: str, dry_run: bool, update: ProgressUpdate) -> dict[str, Upgrade]:
    # Only here: this loads decoders and networks.
    from service.assembly import build_local_engine
    from service.engine.local import running
    from service.pipeline.upgrading import TemplateUpgrader
    from service.runtime.pack import load_pack
    from service.store.sealing import load_key_ring
    from service.store.template_store import RedisTemplateStore, kept_tenants
    from service.tenants import build_creator, pipeline_policy

    pack = load_pack(settings.packs_path / settings.pack)
    ring = load_key_ring(settings)
    policy = pipeline_policy(settings, pack)
    found: dict[str, Upgrade] = {}
    async with connected(url) as redis, running(build_local_engine(pack, settings)) as engine:
        for tenant in sorted(await kept_tenants(redis)):
            store = RedisTemplateStore(redis, ring, settings.retention, tenant=tenant)
            upgrader = TemplateUpgrader(
                build_creator(policy, pack, engine, store, tenant),
                store,
                fingerprint=pack.fingerprint,
                embedding_fingerprint=pack.manifest.embedding_fingerprint,
            )
            ids = [template_id async for template_id in store.ids()]
            for number, template_id in enumerate(ids):
                found[template_id] = await upgrader.upgrade(template_id, dry_run=dry_run)
                update(f"{tenant}: {number + 1} of {len(ids)} templates", (number + 1) / len(ids))
    return found
