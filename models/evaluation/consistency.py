"""Sets of one person and sets with somebody else in them: the limits of consistency, and how well they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from models.aggregation.data import EmbeddingCache, PersonImages, Rows, draw_samples, join_caches
from models.evaluation.set_protocol import Aggregate, templates_of
from service.calibration.error_rates import false_non_match_rate, threshold_at
from service.runtime.calibration import ConsistencySpec
from service.types import Embedding
from service.vision.consistency import NO_LIMITS, ConsistencyLimits, Join, group_faces

SHARES = (0.0, 0.25, 0.5, 0.8)
"""Of degraded samples, in the sets that limits are fitted on."""
SMALLEST, LARGEST = 2, 12
FALSE_ALARMS = 0.02
"""Share of these sets that may look like more than one person's. Half of them are badly degraded; of sets of clean
photographs far fewer do."""
FITTED_SETS = 20_000
_LEVELS = 6
_SEED = 13
_DIGITS = 6
_FMR = 1e-3


@dataclass(frozen=True, slots=True)
class Condition:
    """What sets are made of."""

    size: int
    strangers: int
    degraded_share: float
    of_one_stranger: bool = True

    @property
    def name(self) -> str:
        whose = "" if self.strangers < 2 else " of one person" if self.of_one_stranger else " of several people"
        kind = f"{self.degraded_share:.0%} degraded" if self.degraded_share else "clean"
        return (
            f"{self.size} {kind}, {self.strangers} of them foreign{whose}" if self.strangers else f"{self.size} {kind}"
        )


CLEAN_SETS = tuple(Condition(size, 0, 0.0) for size in (2, 3, 5, 8))
CONDITIONS = (
    *CLEAN_SETS,
    Condition(5, 1, 0.0),
    Condition(8, 2, 0.0),
    Condition(8, 2, 0.0, of_one_stranger=False),
    *(Condition(size, 0, 0.5) for size in (2, 3, 5, 8)),
    Condition(5, 1, 0.5),
    Condition(8, 2, 0.5),
    Condition(8, 2, 0.5, of_one_stranger=False),
)


@dataclass(frozen=True, slots=True)
class Alarms:
    """How many sets of a condition look like more than one person's."""

    condition: str
    sets: int
    people: int
    share: float
    wrongly_grouped: float
    """Share of the alarms in which the largest group is not the subject's alone."""


@dataclass(frozen=True, slots=True)
class DropRates:
    """FNMR of contaminated references against clean ones, at the threshold of the clean ones."""

    condition: str
    comparisons: int
    uncontaminated: float
    contaminated: float
    dropped: float
    """With the samples outside the largest group left out."""
    stranger_matches: float
    """Share of the contaminated templates that match the stranger too."""
    stranger_matches_dropped: float


def draw_set(
    people: Sequence[PersonImages], own: Sequence[PersonImages], condition: Condition, rng: np.random.Generator
) -> tuple[Rows, int]:
    """Rows of one set, and the place of its subject in `own`. The first rows are the subject's."""
    count = condition.size - condition.strangers
    while True:
        place = int(rng.integers(len(own)))
        rows = _draw(own[place], count, condition.degraded_share, rng)
        if len(rows) == count:
            break
    return np.concatenate([rows, draw_strangers(people, own[place].person, condition, rng)]), place


def draw_strangers(
    people: Sequence[PersonImages], subject: int, condition: Condition, rng: np.random.Generator
) -> Rows:
    """Rows of other people than the subject."""
    rows: list[Rows] = []
    taken = {subject}
    wanted = condition.strangers
    while wanted:
        stranger = people[int(rng.integers(len(people)))]
        count = wanted if condition.of_one_stranger else 1
        drawn = _draw(stranger, count, condition.degraded_share, rng)
        if stranger.person not in taken and len(drawn) == count:
            rows.append(drawn)
            taken.add(stranger.person)
            wanted -= count
    return np.concatenate(rows) if rows else np.array([], dtype=np.int64)


def fit_limits(caches: Sequence[EmbeddingCache], sets: int = FITTED_SETS) -> ConsistencySpec:
    """From sets of one person each: of those whose last two groups are of like quality, `FALSE_ALARMS` are less
    alike."""
    rng = np.random.default_rng(_SEED)
    cache = join_caches(caches)
    people = [person for person in cache.people() if len(person.images) >= SMALLEST]
    last: list[Join] = []
    while len(last) < sets:
        size, share = int(rng.integers(SMALLEST, LARGEST + 1)), float(rng.choice(SHARES))
        person = people[int(rng.integers(len(people)))]
        rows = _draw(person, size, share, rng)
        if len(rows) >= SMALLEST:
            last.append(group_faces(_embeddings(cache, rows), NO_LIMITS).joins[-1])
    order = np.argsort([join.norm for join in last], kind="stable")
    parts = [[last[index] for index in part] for part in np.array_split(order, _LEVELS)]
    cosines = np.maximum.accumulate([np.quantile([join.cosine for join in part], FALSE_ALARMS) for part in parts])
    return ConsistencySpec(
        norms=tuple(round(float(np.median([join.norm for join in part])), _DIGITS) for part in parts),
        cosines=tuple(round(float(cosine), _DIGITS) for cosine in cosines),
    )


def limits_of(spec: ConsistencySpec) -> ConsistencyLimits:
    return ConsistencyLimits(spec.norms, spec.cosines)


def measure_alarms(
    cache: EmbeddingCache, limits: ConsistencyLimits, condition: Condition, sets: int, rng: np.random.Generator
) -> Alarms:
    """On people that the limits were not fitted on."""
    people = cache.people()
    own = _with_enough(people, condition)
    alarms = wrong = 0
    subjects = set()
    for _ in range(sets):
        rows, place = draw_set(people, own, condition, rng)
        subjects.add(place)
        groups = group_faces(_embeddings(cache, rows), limits).groups
        if len(groups) > 1:
            alarms += 1
            wrong += max(groups[0]) >= condition.size - condition.strangers
    return Alarms(condition.name, sets, len(subjects), alarms / sets, wrong / alarms if alarms else 0.0)


def measure_drop(
    cache: EmbeddingCache,
    limits: ConsistencyLimits,
    aggregate: Aggregate,
    condition: Condition,
    draws: int,
    rng: np.random.Generator,
) -> DropRates:
    """References of clean samples with and without strangers, against mixed sets of the other half of the images."""
    people = cache.people()
    count = condition.size - condition.strangers
    subjects = [person for person in people if sum(len(image.clean) for image in person.images) >= 2 * count]
    scores: dict[str, list[NDArray[np.float64]]] = {"clean": [], "contaminated": [], "dropped": [], "non_mated": []}
    stranger_scores: dict[str, list[NDArray[np.float64]]] = {"contaminated": [], "dropped": []}
    for _ in range(draws):
        sets: dict[str, list[Rows]] = {"clean": [], "contaminated": [], "dropped": [], "probe": [], "stranger": []}
        for person in subjects:
            order = rng.permutation(len(person.images))
            halves = [[person.images[index] for index in half] for half in (order[::2], order[1::2])]
            clean = draw_samples(halves[0], rng, size=count, degraded_share=0.0, longest_clip=1)
            strangers = draw_strangers(people, person.person, condition, rng)
            both = np.concatenate([clean, strangers])
            group = group_faces(_embeddings(cache, both), limits).groups[0]
            sets["clean"].append(clean)
            sets["contaminated"].append(both)
            sets["dropped"].append(both[list(group)])
            size = int(rng.integers(SMALLEST, LARGEST + 1))
            sets["probe"].append(draw_samples(halves[1], rng, size=size, degraded_share=0.8, longest_clip=1))
            sets["stranger"].append(_other_images(cache, strangers[0]))
        made = {name: templates_of(cache, rows, aggregate).astype(np.float64) for name, rows in sets.items()}
        table = made["clean"] @ made["probe"].T
        scores["non_mated"].append(table[~np.eye(len(table), dtype=bool)])
        for name in ("clean", "contaminated", "dropped"):
            scores[name].append(np.einsum("pd,pd->p", made[name], made["probe"]))
        for name, found in stranger_scores.items():
            found.append(np.einsum("pd,pd->p", made[name], made["stranger"]))
    joined = {name: np.concatenate(parts) for name, parts in scores.items()}
    threshold = threshold_at(joined["non_mated"], _FMR)
    matches = {name: float(np.mean(np.concatenate(found) >= threshold)) for name, found in stranger_scores.items()}
    return DropRates(
        condition=condition.name,
        comparisons=len(joined["clean"]),
        uncontaminated=false_non_match_rate(joined["clean"], threshold),
        contaminated=false_non_match_rate(joined["contaminated"], threshold),
        dropped=false_non_match_rate(joined["dropped"], threshold),
        stranger_matches=matches["contaminated"],
        stranger_matches_dropped=matches["dropped"],
    )


def page(pack: str, command: str, spec: ConsistencySpec, alarms: Sequence[Alarms], drops: Sequence[DropRates]) -> str:
    """Markdown."""
    lines = [
        f"# Consistency of sets, {pack}",
        "",
        f"Made by `{command}` on LFW people of the split `test`, with the limits of the pack, which were fitted on "
        "`train` and `validation`.",
        "",
        "How many sets are said to hold faces of more than one person. **Wrongly grouped**: of these, in how many the "
        "largest group is not the subject alone.",
        "",
        "| samples | sets | people | said to be inconsistent | wrongly grouped |",
        "|---|---|---|---|---|",
        *(
            f"| {row.condition} | {row.sets:,} | {row.people} | {row.share:.2%} | "
            f"{f'{row.wrongly_grouped:.2%}' if row.share else '-'} |"
            for row in alarms
        ),
        "",
        f"FNMR at the threshold of FMR {_FMR:g} of references of clean photographs, without and with foreign samples "
        "and under the policy `drop`, against mixed sets of the same people (2 to 12 samples, 80 % degraded); and how "
        "many of the contaminated templates match a good picture set of the stranger.",
        "",
        "| reference | comparisons | uncontaminated | contaminated | `drop` | stranger matches | with `drop` |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row.condition} | {row.comparisons:,} | {row.uncontaminated:.4f} | {row.contaminated:.4f} | "
            f"{row.dropped:.4f} | {row.stranger_matches:.2%} | {row.stranger_matches_dropped:.2%} |"
            for row in drops
        ),
        "",
        "Limits: the least cosine between two groups of one person's faces, by the best feature norm of the poorer "
        "one.",
        "",
        "| feature norm | " + " | ".join(f"{norm:.2f}" for norm in spec.norms) + " |",
        "|---" * (len(spec.norms) + 1) + "|",
        "| least cosine | " + " | ".join(f"{cosine:.3f}" for cosine in spec.cosines) + " |",
    ]
    return "\n".join(lines) + "\n"


def values(
    pack: str,
    fingerprint: str,
    command: str,
    spec: ConsistencySpec,
    alarms: Sequence[Alarms],
    drops: Sequence[DropRates],
) -> dict[str, object]:
    """For JSON."""
    return {
        "pack": pack,
        "fingerprint": fingerprint,
        "command": command,
        "limits": spec.model_dump(mode="json"),
        "alarms": [asdict(row) for row in alarms],
        "drop": [asdict(row) for row in drops],
    }


def _draw(person: PersonImages, count: int, degraded_share: float, rng: np.random.Generator) -> Rows:
    """Up to `count` rows; without a degraded share clean ones alone."""
    if degraded_share == 0.0:
        return rng.permutation(np.concatenate([image.clean for image in person.images]))[:count]
    return draw_samples(person.images, rng, size=count, degraded_share=degraded_share, longest_clip=1)


def _with_enough(people: Sequence[PersonImages], condition: Condition) -> list[PersonImages]:
    count = condition.size - condition.strangers
    if condition.degraded_share:
        return [person for person in people if len(person.images) >= SMALLEST]
    return [person for person in people if sum(len(image.clean) for image in person.images) >= count]


def _other_images(cache: EmbeddingCache, row: int) -> Rows:
    """Clean rows of the same person from other images; of this image where there is no other."""
    rows = np.flatnonzero((cache.person == cache.person[row]) & (cache.version == 0))
    others = rows[cache.image[rows] != cache.image[row]]
    return others[:LARGEST] if len(others) else rows[:LARGEST]


def _embeddings(cache: EmbeddingCache, rows: Rows) -> list[Embedding]:
    return [Embedding(cache.embeddings[row], float(cache.norms[row])) for row in rows]
