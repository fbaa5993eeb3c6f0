"""The demo's cast: who takes part, for how long, on which days, and when they start to pay."""

from __future__ import annotations

from bisect import bisect, bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from math import exp
from typing import TYPE_CHECKING, Final

from ingest import demo_script as script
from ingest.vocabulary import CortexEventName, pseudonym

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from ingest.demo_script import Story


class Wheel:
    """Draws one of some values by weight, with one random number each time."""

    __slots__ = ("bounds", "values")

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.values = tuple(weights)
        self.bounds = tuple(accumulate(weights.values()))

    def draw(self, rng: random.Random) -> str:
        """Return one value."""
        return self.values[bisect(self.bounds, rng.random() * self.bounds[-1])]


_REGION_WHEEL = Wheel({region[0]: region[2] for region in script.REGIONS})
_REGION_OF = {region[0]: region for region in script.REGIONS}
_IDE_WHEEL = Wheel({ide[0]: ide[1] for ide in script.IDES})
_CHANNEL_WHEELS = {
    ide: Wheel(dict(zip(script.CHANNEL_ORDER, weights, strict=True)))
    for ide, _, weights in script.IDES
}
_MODEL_WHEEL = Wheel({model[0]: model[2] for model in script.MODELS})
_MODEL_OF = {model[0]: model for model in script.MODELS}
_SYSTEM_WHEEL = Wheel(dict(script.SYSTEMS))
_LANGUAGE_WHEEL = Wheel(dict(script.LANGUAGES))
_TESTER_TIER_WHEEL = Wheel(dict(script.TESTER_TIERS))
_OPEN_TIER_WHEEL = Wheel(dict(script.OPEN_TIERS))
HOUR_WHEEL: Final = Wheel({str(hour): weight for hour, weight in enumerate(script.HOUR_WEIGHTS)})


@dataclass(slots=True)
class Step:
    """A change of tier on an active day; `event_name` is empty when nothing is written for it."""

    day: int
    tier: str
    event_name: str


@dataclass(slots=True)
class Person:
    """One user: what stays the same, and where they are in the story."""

    user: str
    tester: bool
    tier: str
    region: str
    offset_ms: int
    slowness: float
    luck: float
    system: str
    home: str
    ide: str
    channels: Wheel
    language: str
    model: tuple[str, str, int, float, float]
    variant: str
    adoption: tuple[int, ...]
    steps: list[Step]
    projects: list[str]
    contexts: list[tuple[str, str, str]] = field(default_factory=list)
    last_day: int = -1
    free_at_ms: int = 0

    def release_on(self, day: int) -> int:
        """Return the index of the release they have on this day."""
        return bisect(self.adoption, day) - 1


def cast(
    rng: random.Random, story: Story, *, events: int, seed: int
) -> tuple[list[Person], list[list[int]]]:
    """Invite people until they have enough sessions, and say who has one on which day.

    Returns the people and, for each day, the index of a person for each session of the day.
    """
    people: list[Person] = []
    sessions: list[list[int]] = [[] for _ in range(story.days)]
    joins = _join_days(story)
    wanted, planned, others = events / script.EVENTS_PER_SESSION, 0, 0
    while planned < wanted or others < script.OPEN_USERS_MIN:
        tester = len(people) < script.TESTERS - script.NO_SHOWS and (
            len(people) < script.TESTERS_MIN
            or (not others and planned < wanted * script.TESTER_SHARE_MAX)
        )
        others += not tester
        active = _active_days(rng, story, joins, tester=tester)
        planned += _plan(rng, story, sessions, active, len(people))
        people.append(_person(rng, story, active, f"demo {seed} {len(people)}", tester=tester))
    return people, sessions


def no_shows(seed: int) -> list[str]:
    """Return the invited testers who never came."""
    return [pseudonym(f"demo {seed} no-show {number}") for number in range(script.NO_SHOWS)]


def _plan(
    rng: random.Random, story: Story, sessions: list[list[int]], active: list[int], index: int
) -> int:
    planned = 0
    for day in active:
        count = 1
        if day < story.days - 1:  # one on the last day, so that it always ends in time
            draw = rng.random()
            count += sum(draw < share for share in script.MORE_SESSIONS)
        sessions[day].extend([index] * count)
        planned += count
    return planned


def _join_days(story: Story) -> Wheel:
    """Weigh the days of the open beta: a launch peak, then growth, slower at weekends."""
    weights = {}
    for day in range(story.open_day, story.days):
        since = day - story.open_day
        weight = 4 * exp(-since / 2.5) + 1 + 0.03 * since
        weights[str(day)] = weight * (0.55 if story.weekend[day] else 1)
    return Wheel(weights)


def _active_days(rng: random.Random, story: Story, joins: Wheel, *, tester: bool) -> list[int]:
    if tester:
        wave = rng.choice(script.INVITATION_WAVES)
        join = min(int(wave * story.open_day) + rng.randrange(4), story.open_day - 1)
    else:
        join = int(joins.draw(rng))
    life, chance = _life(rng, script.LIVES_OF_TESTERS if tester else script.LIVES_OF_OTHERS)
    weekday, weekend = chance, chance * script.WEEKEND_FACTOR
    if rng.random() < script.HOBBYISTS:
        weekday, weekend = (chance * factor for factor in script.HOBBYIST_FACTORS)
    pause = _pause(rng, join, life)
    active = [join]
    for day in range(join + 1, min(story.days, join + life)):
        likely = weekend if story.weekend[day] else weekday
        if rng.random() < likely and day not in pause:
            active.append(day)
    if rng.random() < script.COMES_BACK_LATE:
        active += _late_days(rng, story, active[-1])
    return active


def _life(
    rng: random.Random, lives: Sequence[tuple[float, float, float, float]]
) -> tuple[int, float]:
    _, days, alpha, beta = rng.choices(lives, [life[0] for life in lives])[0]
    return 1 + int(rng.expovariate(1 / days)), rng.betavariate(alpha, beta)


def _pause(rng: random.Random, join: int, life: int) -> range:
    if life < script.BREAK_LIFE_DAYS or rng.random() > script.BREAKS:
        return range(0)
    start = join + rng.randrange(7, min(life, 60))
    return range(start, start + rng.randint(*script.BREAK_DAYS))


def _late_days(rng: random.Random, story: Story, last: int) -> list[int]:
    day, late = last + rng.randint(*script.COMES_BACK_AFTER_DAYS), []
    for _ in range(rng.randint(1, 6)):
        if day < story.days:
            late.append(day)
        day += rng.randint(1, 5)
    return late


def _person(
    rng: random.Random, story: Story, active: list[int], raw: str, *, tester: bool
) -> Person:
    region = _REGION_OF[_REGION_WHEEL.draw(rng)]
    ide = _IDE_WHEEL.draw(rng)
    system = _SYSTEM_WHEEL.draw(rng)
    tier = (_TESTER_TIER_WHEEL if tester else _OPEN_TIER_WHEEL).draw(rng)
    variant = rng.choice(script.VARIANTS)
    return Person(
        user=pseudonym(raw),
        tester=tester,
        tier=tier,
        region=region[0],
        offset_ms=region[1] * 60_000 + rng.randint(-120, 150) * 60_000,
        slowness=region[3] * exp(rng.gauss(0, 0.22)),
        luck=exp(rng.gauss(-0.25, 0.7)),
        system=system,
        home=_home(rng, system),
        ide=ide,
        channels=_CHANNEL_WHEELS[ide],
        language=_LANGUAGE_WHEEL.draw(rng),
        model=_MODEL_OF[_MODEL_WHEEL.draw(rng)],
        variant=variant,
        adoption=_adoption(rng, story, active[0], tier),
        steps=_steps(rng, story, active, tier, variant, tester=tester),
        projects=[
            f"proj_{rng.randrange(100_000, 1_000_000)}" for _ in range(rng.choice((1, 1, 2, 2, 3)))
        ],
    )


def _home(rng: random.Random, system: str) -> str:
    name = rng.choice(script.NAMES) + rng.choice(("", str(rng.randrange(10, 99))))
    return {"macos": "/Users/", "linux": "/home/", "windows": "C:/Users/"}[system] + name


def _adoption(rng: random.Random, story: Story, join: int, tier: str) -> tuple[int, ...]:
    """Return the day each release reaches them; they install the one of their first day."""
    mean = script.ADOPTION_DAYS_MEAN * (script.ENTERPRISE_SLOWNESS if tier == "enterprise" else 1)
    days: list[int] = []
    for shipped in story.release_days:
        wait = 0 if rng.random() < script.ADOPTS_AT_ONCE else 1 + int(rng.expovariate(1 / mean))
        day = 0 if shipped <= join else shipped + wait
        days.append(max(day, days[-1]) if days else day)
    return tuple(days)


def _steps(
    rng: random.Random, story: Story, active: list[int], tier: str, variant: str, *, tester: bool
) -> list[Step]:
    """Return the changes of tier, each on an active day, in order."""
    lift = script.COMPACT_LIFT if variant == script.VARIANTS[1] else 1
    chance = script.CONVERTS.get((tier, tester), 0) * lift
    converts = rng.random() < chance and len(active) > script.CONVERTS_AFTER_DAYS
    if tier == "trial":
        paid_on = _next(active, max(active[0] + script.TRIAL_DAYS, story.paid_day))
        if paid_on is None:
            return []
        return _paying(rng, active, paid_on) if converts else [Step(paid_on, "free", "")]
    if not converts:
        return []
    soonest = max(active[script.CONVERTS_AFTER_DAYS], story.paid_day)
    paid_on = _next(active, soonest + rng.randrange(25))
    if paid_on is None:
        return []
    trial_on = _next(active, max(paid_on - script.TRIAL_DAYS, active[1]))
    if rng.random() < script.TRIAL_FIRST and trial_on is not None and trial_on < paid_on:
        return [Step(trial_on, "trial", ""), *_paying(rng, active, paid_on)]
    return _paying(rng, active, paid_on)


def _paying(rng: random.Random, active: list[int], paid_on: int) -> list[Step]:
    started = CortexEventName.PAID_SUBSCRIPTION_STARTED.value
    steps = [Step(paid_on, "paid", started)]
    canceled_on = _next(active, paid_on + rng.randint(*script.CANCELS_AFTER_DAYS))
    if rng.random() < script.CANCELS and canceled_on is not None:
        canceled = CortexEventName.PAID_SUBSCRIPTION_CANCELED.value
        steps.append(Step(canceled_on, "free", canceled))
        again_on = _next(active, canceled_on + rng.randint(5, 20))
        if rng.random() < script.STARTS_AGAIN and again_on is not None:
            steps.append(Step(again_on, "paid", started))
    return steps


def _next(active: list[int], day: int) -> int | None:
    """Return the first active day on or after `day`."""
    place = bisect_left(active, day)
    return active[place] if place < len(active) else None
