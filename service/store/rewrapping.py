"""After the deployment's key was changed: everything that lives long is brought under the new one, so that the old one
can be taken off the ring.

The templates themselves are not sealed again, only the data key of each. Cached embeddings run out within days; kept
answers hang on the wrapped keys of their templates and are dropped, which a repeated request sees as its first.
"""

from __future__ import annotations

from collections.abc import Callable

from redis.asyncio import Redis

from service.store import keys, scripts
from service.store.api_key_store import RedisApiKeyStore
from service.store.data_keys import DataKey
from service.store.failures import reporting_failures
from service.store.sealing import KeyRing, PayloadSealer, SealingPurpose
from service.store.template_store import RedisTemplateStore, kept_tenants

Progress = Callable[[int], None]
"""Told how many templates are done."""


class Rewrapper:
    """Of one deployment. Its processes may go on meanwhile. Every method raises `StoreUnavailableError`."""

    def __init__(self, redis: Redis, ring: KeyRing, store_of: Callable[[str], RedisTemplateStore]) -> None:
        """`ring`: the new key first, the old one after it."""
        self._redis = redis
        self._sealer = PayloadSealer(ring, SealingPurpose.TEMPLATES)
        self._api_keys = RedisApiKeyStore(redis, ring)
        self._store_of = store_of
        self._rewrap = redis.register_script(scripts.REWRAP)

    async def rewrap_templates(self, progress: Progress) -> int:
        """Bring every template under the first key of the ring; how many there were."""
        done = 0
        for tenant in sorted(await kept_tenants(self._redis)):
            store = self._store_of(tenant)
            async for template_id in store.ids():
                done += await self._rewrap_template(store, tenant, template_id)
                progress(done)
            with reporting_failures():
                async for name in self._redis.scan_iter(match=keys.answer_key(tenant, "*"), count=1000):
                    await self._redis.delete(name)
        return done

    async def rewrap_api_keys(self) -> int:
        """The same of API keys. The pepper of a secret stays that of the key it was made under: rotate those keys
        before the old one leaves the ring."""
        known = await self._api_keys.list()
        for key in known:
            await self._api_keys.put(key)
        return len(known)

    async def _rewrap_template(self, store: RedisTemplateStore, tenant: str, template_id: str) -> bool:
        name = keys.template_key(tenant, template_id)
        with reporting_failures():
            wrapped = await self._redis.hget(name, "key")
        if not isinstance(wrapped, bytes):
            return False  # erased or expired in between
        template = await store.get(template_id)
        names = [name]
        if template.subject is not None:
            names.append(keys.subject_index_key(tenant, self._sealer.blind(template.subject)))
        rewrapped = DataKey.unwrap(wrapped, self._sealer, name).wrap(self._sealer, name)
        with reporting_failures():
            return bool(await self._rewrap(keys=names, args=[wrapped, rewrapped, template_id]))
