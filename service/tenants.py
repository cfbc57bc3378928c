"""The parts of one tenant: the same pipeline for all, around stores that know nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from service.access.allowances import Allowances, Budgets
from service.access.authentication import Authenticator
from service.access.lockouts import Lockouts
from service.api.audit_trail import AuditTrail
from service.api.dependencies import ServiceParts, TenantParts
from service.api.idempotency import IdempotentAnswers
from service.calibration.calibrator import PackCalibrator
from service.calibration.quality_scale import QualityScale
from service.observability.metrics import Metrics
from service.pipeline.batch_verification import BatchVerifier
from service.pipeline.template_creation import CreationPolicy, TemplateCreator
from service.pipeline.verification import Verifier
from service.policies import creation_policy, quality_scale
from service.protocols import AnswerStore, TemplateEngine, TemplateSealer, TemplateStore
from service.runtime.pack import Pack
from service.settings import Limits, Settings

_TENANTS_AT_HAND = 1024
"""Beyond, those that were not asked for the longest are assembled again when they are."""


@dataclass(frozen=True, slots=True)
class TenantStores:
    """What keeps, counts and seals for one tenant."""

    store: TemplateStore
    answers: AnswerStore
    sealer: TemplateSealer
    lockouts: Lockouts
    budgets: Budgets


@dataclass(frozen=True, slots=True)
class PipelinePolicy:
    """What is the same for all tenants."""

    limits: Limits
    creation: CreationPolicy
    quality_scale: QualityScale
    raw_scores_per_day: int


def pipeline_policy(settings: Settings, pack: Pack) -> PipelinePolicy:
    scale = quality_scale(pack.calibration)
    return PipelinePolicy(settings.limits, creation_policy(settings, scale), scale, settings.raw_scores_per_day)


def build_creator(
    policy: PipelinePolicy, pack: Pack, engine: TemplateEngine, store: TemplateStore, tenant: str
) -> TemplateCreator:
    """What makes a tenant's templates."""
    return TemplateCreator(
        engine,
        store,
        pack.fingerprint,
        policy.creation,
        embedding_fingerprint=pack.manifest.embedding_fingerprint,
        quality_scale=policy.quality_scale,
        tenant=tenant,
    )


def assemble_service(
    policy: PipelinePolicy,
    pack: Pack,
    engine: TemplateEngine,
    stores_of: Callable[[str], TenantStores],
    authenticator: Authenticator,
    audit: AuditTrail,
    metrics: Metrics,
) -> ServiceParts:
    """The pipelines around an engine and stores; opens nothing."""
    calibrator = PackCalibrator(pack.calibration)

    def assemble(tenant: str) -> TenantParts:
        stores = stores_of(tenant)
        creator = build_creator(policy, pack, engine, stores.store, tenant)
        verifier = Verifier(
            creator,
            stores.store,
            stores.sealer,
            fingerprint=pack.fingerprint,
            width=pack.manifest.embedder.width,
            calibrator=calibrator,
        )
        return TenantParts(
            tenant=tenant,
            pack=pack,
            engine=engine,
            store=stores.store,
            sealer=stores.sealer,
            creator=creator,
            verifier=verifier,
            batch_verifier=BatchVerifier(verifier, stores.store, calibrator, fingerprint=pack.fingerprint),
            answers=IdempotentAnswers(stores.answers, timeout_s=policy.limits.request_timeout_s),
            lockouts=stores.lockouts,
            allowances=Allowances(stores.budgets, raw_scores_per_day=policy.raw_scores_per_day),
            limits=policy.limits,
            metrics=metrics,
            audit=audit,
        )

    return ServiceParts(pack, engine, metrics, authenticator, lru_cache(_TENANTS_AT_HAND)(assemble))
