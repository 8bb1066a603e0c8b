"""How the doc comment of a declaration becomes a sentence about a row: its places are filled, and those without a value
disappear from it.

The words are English and know no policy. A place without a value goes with what speaks only of it: a part in square
brackets, a part in round ones, a clause behind a comma, a preposition. Where no sentence is left, what remains of it is
a noun (`an HIV test`); where not even that can be told, it has no phrase.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

ONGOING = "ongoing"
"""The date of what has no end yet, as it is printed."""

EMPTY = "(none)"
"""A text without a sign, as it is printed."""

_PLACE = re.compile(r"\{([^{}]*)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*\{[^{}\[\]]*\}[^\[\]]*)\]")
_ROUND = re.compile(r"\s*\([^()]*\)")
_UNITS = frozenset((
    "second", "seconds", "minute", "minutes", "hour", "hours", "day", "days", "week", "weeks", "month",
    "months", "year", "years", "percent", "degrees", "milligrams", "grams", "micrograms", "kilograms", "litres",
    "liters", "millilitres", "units", "points", "times",
))
_TIMES = "from|on|of|at|in|for|since|until|till|through|to|by|before|after|dated|during|as of|up to"
_MEASURES = "for|of|at|over|in|within|with|by|lasting|after"
_LINKED = "is|was|are|were|be|been|has been|have been|shows?|showed"
_COMPARATIVE = re.compile(r"\b(?:least|most|than|exactly|only|about)\s+$")
_PERSON = re.compile(r"(?:(?:the|this|a) )?(?:member|patient|person|case|request|it|he|she|they)|", re.IGNORECASE)
_VAGUE = frozenset({"what", "which", "name", "value", "text", "thing", "item", "something"})
_BEFORE_A_QUANTITY = frozenset((
    "least", "most", "than", "of", "for", "with", "in", "within", "were", "was", "are", "is", "shows", "show",
    "showed", "had", "has", "have", "only", "about", "every", "after", "by", "the", "and", "or", "over",
    "takes", "took", "needs", "need", "lasts", "lasted", "received", "given", "approves", "allows",
))
_OF = frozenset({"of", "for", "with", "in", "within", "after", "by", "than", "over"})
_NO_PLURAL = re.compile(r"(?:ss|us|is)$|^(?:was|has|does|its|this|as|always|times)$")


class Place(NamedTuple):
    """A place of a sentence: the value as it is printed, or None where it has none; what its attribute is called, and
    in which unit it is."""

    text: str | None
    words: str
    is_number: bool = False
    is_date: bool = False
    unit: str = ""


class Phrase(NamedTuple):
    """A sentence, or the noun that is left of it: `a relapse began on 2025-03-02`, `an HIV test`."""

    text: str
    is_sentence: bool = True


class Saying(NamedTuple):
    """A sentence of a rule with what stands in its places, all but `{count}`."""

    template: str
    places: dict[str, Place]

    def text(self, **further: Place) -> str:
        return _filled(self.template, {**self.places, **further})


def phrase(template: str, places: Mapping[str, Place]) -> Phrase | None:
    """The sentence of a doc comment; None where too little of it has a value to say anything. Raises KeyError for a
    place that there is not."""
    def is_void(part: str) -> bool:
        return any(places[name].text is None for name in _PLACE.findall(part))

    def is_empty(part: str) -> bool:
        return is_void(part) or any(places[name].text == EMPTY for name in _PLACE.findall(part))

    template = _OPTIONAL.sub(lambda match: "" if is_empty(match.group(1)) else match.group(1), template)
    if not is_void(template):
        return Phrase(_filled(template, places))
    template = _without_clauses(template, places)
    for name, place in places.items():
        if place.text is None and place.is_date:
            template = _without_date(template, name)
    shortened = _without_link(template, places)
    template = template if shortened is None else shortened
    for name in _PLACE.findall(template):
        if places[name].text is None:
            left = _without_number(template, name) if places[name].is_number else _any(template, name, places[name])
            if left is None:
                return None
            template = left
    if shortened is not None and _PERSON.fullmatch(template.strip()):
        return None
    return Phrase(_filled(template, places), is_sentence=shortened is None)


def places_of(template: str) -> list[str]:
    """The names of the places of a sentence."""
    return _PLACE.findall(template)


def _without_clauses(template: str, places: Mapping[str, Place]) -> str:
    """Without round brackets, and clauses behind a comma, that speak only of what has no value."""
    def is_void(part: str) -> bool:
        names = _PLACE.findall(part)
        return bool(names) and all(places[name].text is None for name in names)

    template = _ROUND.sub(lambda match: "" if is_void(match.group()) else match.group(), template)
    first, *clauses = re.split(r"(?=[,;] )", template)
    return "".join([first, *(clause for clause in clauses if not is_void(clause))])


def _without_date(template: str, name: str) -> str:
    place = re.escape(f"{{{name}}}")
    template = re.sub(rf"\bfrom (\S+) (?:to|until|till|through) {place}", r"from \1", template)
    template = re.sub(rf"\b(?:from|between) {place} (?:to|until|till|through|and) (?=\S)", "until ", template)
    template = re.sub(rf"\s*\b(?:from|since) {place}(?: onwards?| on)?(?=\W|$)", "", template)
    return re.sub(rf"\s*\b(?:{_TIMES}) {place}", "", template)


def _without_link(template: str, places: Mapping[str, Place]) -> str | None:
    """The noun that a sentence says something of, where what it says has no value: `the BMI is {bmi}`."""
    found = re.fullmatch(rf"(.*?)(?:\s+(?:{_LINKED})(?: ?:)?|\s*:)\s*\{{([^{{}}]*)\}}(.*)", template)
    if found is None or places[found.group(2)].text is not None or _PLACE.search(found.group(3)):
        return None
    place, behind = places[found.group(2)], found.group(3).strip()
    if behind and not (place.is_number and len(behind.split()) <= 2):
        return None
    return found.group(1)


def _without_number(template: str, name: str) -> str | None:
    place = re.escape(f"{{{name}}}")
    measured = re.sub(rf"\s*\b(?:{_MEASURES}) {place}(?: ?%| [\w/]+)?(?: (?:a|per|each) \w+| daily)?(?=\W|$)",
                      "", template)
    if measured != template:
        return measured
    before, _, after = template.partition(f"{{{name}}} ")
    words = after.split()
    is_counted = words and words[0].endswith("s") and not _is_unit(words[0]) and not _NO_PLURAL.search(words[0])
    return f"{before}{after}" if is_counted and not _COMPARATIVE.search(before) else None


def _is_unit(word: str) -> bool:
    return len(word) <= 3 or "/" in word or word in _UNITS


def _any(template: str, name: str, place: Place) -> str:
    """With `any ...` in a place; an adjective behind an article goes: `a {kind} test`."""
    before, _, after = template.partition(f"{{{name}}}")
    before = re.sub(rf"\b(?:an?|the)\s+{re.escape(place.words)}\s+$", "", before)
    article = re.search(r"\b(a|an|the)\s+$", before)
    if article and re.match(r"\s+\w", after):
        noun = after.lstrip()
        word = article.group(1) if article.group(1) == "the" else _article(noun)
        return f"{before[:article.start()]}{word} {noun}"
    if article:
        before = before[: article.start()]
    if place.is_date:
        return f"{before}any day{after}"
    return f"{before}{'anything' if place.words in _VAGUE or len(place.words) <= 2 else f'any {place.words}'}{after}"


def _article(noun: str) -> str:
    return "an" if noun[:1].lower() in "aeiou" else "a"


def _filled(template: str, places: Mapping[str, Place]) -> str:
    parts: list[str] = []
    pieces = _PLACE.split(template)
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            parts.append(piece)
            continue
        place = places[piece]
        text = place.text or ""
        before, after = "".join(parts), pieces[number + 1]
        if place.unit and not _begins_with(after, place.unit):
            text = with_unit(text, place.unit)
        if place.is_number:
            pieces[number + 1] = _in_number(before, after, place)
        elif re.search(r"\ban?\s+$", before) and not place.is_date:
            parts = [re.sub(r"\ban?\s+$", f"{_article(text)} ", before)]
        parts.append(text)
    return _with_ongoing(_clean("".join(parts)), any(place.text == ONGOING for place in places.values()))


def with_unit(number: str, unit: str) -> str:
    """`12 mg`, `7.5%`, `1 point`."""
    if number == "1" and len(unit) > 3 and unit.isalpha():
        unit = singular(unit)
    return f"{number}{unit}" if unit == "%" else f"{number} {unit}"


def _begins_with(text: str, unit: str) -> bool:
    """Whether a sentence goes on with the unit, in this number or the other."""
    following = text.lstrip().lower()
    return any(re.match(rf"{re.escape(form)}(?!\w)", following) for form in (unit.lower(), f"{unit.lower()}s"))


def _in_number(before: str, after: str, place: Place) -> str:
    """What follows a number, in the singular behind 1: `1 relapse was`. Only where the number says how many."""
    words = after.split()
    if not after.startswith(" ") or not words:
        return after
    if words[0].endswith("(s)"):
        return after.replace("(s)", "" if place.text == "1" else "s", 1)
    if place.text != "1":
        return after
    last = before.split()[-1].strip("(,;:").lower() if before.split() else ""
    if last and last not in _BEFORE_A_QUANTITY and words[0].strip(",.;:)") not in {place.words, place.unit, *_UNITS}:
        return after
    for word in words[:2]:
        bare = word.strip(",.;:)")
        if bare.endswith("s") and len(bare) > 2 and not _NO_PLURAL.search(bare):
            one = re.sub(rf"\b{re.escape(bare)}(?=\W|$)", singular(bare), after, count=1)
            if last in _OF:
                return one
            return re.sub(rf"^(.*?\b{re.escape(singular(bare))}) (are|were|have)\b", _agreeing, one)
    return after


def _agreeing(match: re.Match[str]) -> str:
    verb = {"are": "is", "were": "was", "have": "has"}[match.group(2)]
    return f"{match.group(1)} {verb}"


def singular(noun: str) -> str:
    """`relapse` of `relapses`."""
    if noun.endswith("ies") and len(noun) > 4:
        return f"{noun[:-3]}y"
    if re.search(r"(?:ss|x|ch|sh)es$", noun):
        return noun[:-2]
    return noun.removesuffix("s")


def plural(noun: str) -> str:
    """`relapses` of `relapse`, `therapies` of `therapy`; what stands in the plural stays."""
    if re.search(r"(?:[^s]s|news)$", noun) and not noun.endswith(("us", "is")):
        return noun
    if re.search(r"[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    if noun.endswith("sis"):
        return f"{noun[:-2]}es"
    return f"{noun}es" if re.search(r"(?:s|x|ch|sh)$", noun) else f"{noun}s"


def _with_ongoing(text: str, is_ongoing: bool) -> str:
    """What has no end yet is so since its beginning: `has been used since 2021-03-10`."""
    if not is_ongoing:
        return text
    ended = rf"(?:from )?(\d{{4}}-\d\d-\d\d) ?(?:to|until|till|through|[-\u2013]) ?{ONGOING}\b"
    text = re.sub(rf"\b(was|were) ([^,;:()]*?) {ended}",
                  lambda match: f"{'has' if match[1] == 'was' else 'have'} been {match[2]} since {match[3]}", text)
    text = re.sub(ended, r"since \1", text)
    return re.sub(rf" (?:to|until|till|through) {ONGOING}\b", " without an end so far", text)


def _clean(text: str) -> str:
    return re.sub(r"\s+([,;.)])", r"\1", re.sub(r"\s+", " ", text)).strip(" ,;")
