"""The editions of policies, and which of them decides a request.

An edition is one text of a policy: it covers items in a phase, is one payer's or anybody's, and holds from a day on,
until a day. A request names an item, a phase and a day, and may name a payer and a policy. One edition that fits it
decides. Where only the day excludes all editions of one policy, the text of that day is not held; elsewhere a choice of
none or of several is refused, with what would tell them apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from policy_kb import dates
from policy_kb.diagnostics import did_you_mean, listed, quoted
from policy_kb.record import record
from policy_kb.text import folded

if TYPE_CHECKING:
    from policy_kb.check.checked import Attribute, CheckedProgram
    from policy_kb.parse.tree import Value

MOST_CANDIDATES = 10
"""Editions that one message names."""


@record
class Edition:
    """One phase of one edition of a policy. `item` and `day` are the attributes of `request` that name what is asked
    for and the day that chooses; `effective` and `until` are days since 1970-01-01, `until` None where no later
    edition is held; `file` is the entry's path, `name` how messages name it, `place` the file and line of the phase."""

    policy: str
    phase: str
    title: str
    revised: str
    payer: str | None
    item: str
    day: str
    effective: int
    until: int | None
    covers: frozenset[str]
    file: str
    name: str
    place: tuple[str, int]

    def holds_on(self, day: int) -> bool:
        return self.effective <= day and (self.until is None or day <= self.until)

    def day_asked(self, attributes: Iterable[Attribute], request: Iterable[Value]) -> int:
        """The day of a request that chooses, in days since 1970-01-01."""
        return next(int(value) for one, value in zip(attributes, request, strict=True) if one.name == self.day)

    def covered(self, item: str) -> str | None:
        """The item in this policy's spelling: the very one, else the only one alike but for letter case."""
        if item in self.covers:
            return item
        alike = [one for one in self.covers if folded(one) == folded(item)]
        return alike[0] if len(alike) == 1 else None

    def to_dict(self) -> dict[str, str | None]:
        """As a determination says it."""
        until = None if self.until is None else dates.format_date(self.until)
        return {"effective": dates.format_date(self.effective), "until": until, "payer": self.payer}

    def not_held(self, day: int) -> str:
        """Why it does not decide a request of a day, this being the nearest edition."""
        what = f"the text of policy {self.policy} for {dates.format_date(day)}"
        return f"{what} is not held here; the nearest holds {days_held(self.to_dict())}"

    def __str__(self) -> str:
        payer = f" of {self.payer}" if self.payer else ""
        return f"{self.policy}{payer}, {days_held(self.to_dict())} ({self.name})"


def days_held(edition: Mapping[str, Any]) -> str:
    """`since 2025-07-15`, or `from 2023-01-01 to 2024-12-31`, of an edition as plain data."""
    first, last = edition["effective"], edition["until"]
    return f"since {first}" if last is None else f"from {first} to {last}"


@record
class Asked:
    """What a request says before any policy reads it: its attributes as texts in normal form, and the payer and the
    policy where the case names them."""

    request: Mapping[str, str]
    payer: str | None = None
    policy: str | None = None


class NoChoice(Exception):  # noqa: N818
    """No edition decides a request, or more than one may. `key` is what of the case is at fault: `request.drug`,
    `payer`."""

    def __init__(self, message: str, hint: str | None, key: str = "request", editions: Iterable[Edition] = ()):
        super().__init__(message)
        self.message, self.hint, self.key, self.editions = message, hint, key, tuple(editions)


def editions_of(program: CheckedProgram, covers: Iterable[tuple[Value, ...]]) -> dict[str, Edition]:
    """The phases of a policy's rules by their names, each as an edition; `covers` are the rows of that relation."""
    items = frozenset(str(row[0]) for row in covers)
    request = program.relations.get("request")
    found = {}
    for phase in program.phases:
        root = program.relations[phase.root].span
        found[phase.name] = Edition(
            phase.policy, phase.name, phase.title, phase.revised, phase.payer,
            request.attributes[1].name if request is not None and request.arity > 1 else "",
            phase.day, dates.parse_date(phase.effective or phase.revised),
            dates.parse_date(phase.until) if phase.until else None,
            items,
            program.paths.get(program.entry, program.entry), program.entry, (root.file, root.line),
        )
    return found


def with_ends(editions: Iterable[Edition]) -> list[Edition]:
    """Editions that name no last day end the day before the next one of their number and payer begins."""
    all_editions = list(editions)
    starts: dict[tuple[str, str | None], set[int]] = defaultdict(set)
    for one in all_editions:
        starts[one.policy, one.payer].add(one.effective)

    def ended(one: Edition) -> Edition:
        later = [day for day in starts[one.policy, one.payer] if day > one.effective]
        return replace(one, until=min(later) - 1) if one.until is None and later else one

    return [ended(one) for one in all_editions]


def overlaps(editions: Sequence[Edition]) -> Iterator[tuple[Edition, Edition, str]]:
    """Pairs of editions that can claim one request, each with an item that both cover. Those of several texts of one
    number overlap only where they say until when they hold."""
    by_item: dict[tuple[str, str], list[Edition]] = defaultdict(list)
    for one in editions:
        for item in one.covers:
            by_item[folded(item), folded(one.phase)].append(one)
    found: set[tuple[str, str, str]] = set()
    for same in by_item.values():
        for one, other in combinations(same, 2):
            has_one_payer = one.payer is None or other.payer is None or folded(one.payer) == folded(other.payer)
            is_apart = (one.until is not None and one.until < other.effective) or (
                other.until is not None and other.until < one.effective)
            key = (one.file, other.file, one.phase)
            if one.file != other.file and has_one_payer and not is_apart and key not in found:
                found.add(key)
                yield one, other, min(one.covers & other.covers or one.covers)


def choose(editions: Sequence[Edition], asked: Asked) -> Edition:
    """The edition that decides a request; where the text of the day asked for is not held, the nearest. Raises
    NoChoice."""
    fitting = _of_policy(editions, asked)
    fitting = _covering(fitting, asked)
    fitting = _in_phase(fitting, asked)
    fitting = _of_payer(fitting, asked)
    days = {one.day: _day(asked.request.get(one.day)) for one in fitting}
    held = [one for one in fitting if (day := days[one.day]) is not None and one.holds_on(day)]
    if len(held) == 1:
        return held[0]
    if held:
        raise _several(held, asked)
    if len({one.policy for one in fitting}) > 1:
        raise NoChoice(f"no policy that covers {_item(fitting, asked)} is held for that day", _candidates(fitting),
                       f"request.{fitting[0].day}", fitting)
    return min(fitting, key=lambda one: _distance(one, days[one.day]))


def _of_policy(editions: Sequence[Edition], asked: Asked) -> Sequence[Edition]:
    if asked.policy is None:
        return editions
    fitting = [one for one in editions if folded(one.policy) == folded(asked.policy)]
    if not fitting:
        numbers = sorted({one.policy for one in editions})
        hint = did_you_mean(asked.policy, numbers) or f"there is {listed(numbers, 'and')}"
        raise NoChoice(f"there is no policy of this number: {quoted(asked.policy)}", hint, "policy")
    return fitting


def _covering(editions: Sequence[Edition], asked: Asked) -> list[Edition]:
    fitting = [one for one in editions if one.item in asked.request and one.covered(asked.request[one.item])]
    if fitting:
        return fitting
    names = list(dict.fromkeys(one.item for one in editions))
    named = next((name for name in names if name in asked.request), None)
    if named is None:
        raise NoChoice("the request does not name what is asked for",
                       f"name it as its policy does: {listed(names)}")
    covered = sorted({item for one in editions for item in one.covers})
    hint = did_you_mean(asked.request[named], covered) or f"policies cover {listed(covered, 'and')}"
    raise NoChoice(f"no policy covers {quoted(asked.request[named])}", hint, f"request.{named}")


def _in_phase(editions: Sequence[Edition], asked: Asked) -> Sequence[Edition]:
    phase = asked.request.get("phase")
    fitting = [one for one in editions if phase is not None and folded(one.phase) == folded(phase)]
    if fitting or phase is None:
        return fitting or editions
    phases = list(dict.fromkeys(one.phase for one in editions))
    hint = did_you_mean(phase, phases) or f"it has {listed(phases, 'and')}"
    raise NoChoice(f"no policy that covers {_item(editions, asked)} has the phase {quoted(phase)}", hint,
                   "request.phase", editions)


def _of_payer(editions: Sequence[Edition], asked: Asked) -> Sequence[Edition]:
    if asked.payer is None:
        return editions
    fitting = [one for one in editions if one.payer is None or folded(one.payer) == folded(asked.payer)]
    if not fitting:
        payers = sorted({one.payer for one in editions if one.payer})
        hint = did_you_mean(asked.payer, payers) or f"there are policies of {listed(payers, 'and')}"
        raise NoChoice(f"no policy of the payer {quoted(asked.payer)} covers {_item(editions, asked)}", hint, "payer",
                       editions)
    return fitting


def _several(held: Sequence[Edition], asked: Asked) -> NoChoice:
    message = f"{len(held)} policies cover {_item(held, asked)} in this phase on that day"
    payers = [one.payer for one in held]
    numbers = [one.policy for one in held]
    if None not in payers and len({folded(payer) for payer in payers if payer}) == len(held):
        ways = listed(f"payer: {payer}" for payer in payers)
    elif len({folded(number) for number in numbers}) == len(held):
        ways = listed(f"policy: {number}" for number in numbers)
    else:
        ways = "`--policy FILE`: they are of one number, and hold on the same day"
    return NoChoice(message, f"name one at the top of the case: {ways}; {_candidates(held)}", "request", held)


def _item(editions: Sequence[Edition], asked: Asked) -> str:
    return quoted(asked.request[editions[0].item])


def _candidates(editions: Iterable[Edition]) -> str:
    names = list(dict.fromkeys(map(str, editions)))
    left = len(names) - MOST_CANDIDATES
    return f"there is {'; '.join([*names[:MOST_CANDIDATES], *([f'{left} more'] if left > 0 else [])])}"


def _day(written: str | None) -> int | None:
    try:
        return None if written is None else dates.parse_date(written)
    except dates.BadDate:
        return None


def _distance(edition: Edition, day: int | None) -> tuple[int, int]:
    """How far an edition is from a day; the later one first, also where the day cannot be read."""
    if day is None:
        return 0, -edition.effective
    before, after = edition.effective - day, day - (edition.until or day)
    return max(before, after, 0), -edition.effective
