"""Regular expressions that take time in proportion to the text, whatever they are.

Python's own matcher tries one way after the other: for `(a+)+b` their number doubles with each sign of the text, and
the text comes from a case. Here a pattern becomes an automaton, which follows all ways at once. It knows what regular
expressions are: signs, sets, groups, `|`, repetitions, `^` and `$`. What looks back or ahead is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from re import _parser
from typing import Any

MOST_STATES = 2_000
"""Of one automaton: a pattern that needs more, such as `(a{99}){99}`, is refused."""

_MOST_REMEMBERED = 10_000


class NotRegular(ValueError):  # noqa: N818
    """A pattern is outside what can be matched in bounded time; the message says why."""


_CHARACTER_CLASSES = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": " \\t", "cntrl": "\\x00-\\x1f\\x7f", "d": "0-9", "digit": "0-9",
    "graph": "!-~", "lower": "a-z", "print": " -~", "punct": "!-/:-@\\[-`{-~", "s": "\\s", "space": "\\s",
    "upper": "A-Z", "w": "\\w", "xdigit": "0-9a-fA-F",
}  # fmt: skip
_PIECE = re.compile(r"\\.|\[:([a-z]+):\]|\[\^?|.", re.DOTALL)


def pattern_of(text: str) -> Pattern | None:
    """A regular expression as Soufflé reads it (ECMAScript's, with classes such as `[[:digit:]]`); None if it is none.
    Raises NotRegular where it cannot be matched in bounded time."""
    pieces: list[str] = []
    in_set = False
    for piece in _PIECE.finditer(text):
        written, name = piece[0], piece[1]
        if in_set and name:
            if name not in _CHARACTER_CLASSES:
                return None
            pieces.append(_CHARACTER_CLASSES[name])
        elif in_set and written.startswith("["):
            pieces.append("\\" + written)
        elif not in_set and written.startswith("["):
            # What looks like a class outside of a set is a set of these characters.
            pieces.append(written)
            in_set = name is None
        else:
            pieces.append(written)
            in_set = in_set and written != "]"
    try:
        return Pattern("".join(pieces))
    except (re.error, OverflowError, RecursionError):
        return None


class Pattern:
    """A pattern in Python's notation (`text`). Raises re.error where it is none, NotRegular where it is not bounded."""

    def __init__(self, text: str):
        self.text = text
        parsed = _parser.parse(text, re.ASCII)
        if parsed.state.flags & ~(re.ASCII | re.UNICODE):
            raise NotRegular("it sets flags")
        self._states = _States()
        self._automaton = _Automaton(self._states, self._states.sequence(parsed, _MATCHED))
        # One thing that may repeat is tried in one way after the other as well, but these are not many.
        self._plain = re.compile(text, re.ASCII) if _choices(parsed) <= 1 else None

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        if self._plain is not None:
            return self._plain.fullmatch(text) is not None
        return self._automaton.matches(text)


_MATCHED = 0
_AT_BEGINNING, _AT_END = "AT_BEGINNING", "AT_END"
Test = Callable[[str], bool]


class _States:
    """The states of an automaton. A state waits for a sign (`signs`: the test, the state behind it), or goes on at once
    to others: to all of `ways`, or to one where a place is reached (`places`)."""

    def __init__(self) -> None:
        self.number = 1
        self.signs: dict[int, tuple[Test, int]] = {}
        self.ways: dict[int, list[int]] = {}
        self.places: dict[int, tuple[str, int]] = {}

    def new(self) -> int:
        if self.number > MOST_STATES:
            raise NotRegular(f"it needs more than {MOST_STATES} states")
        self.number += 1
        return self.number - 1

    def sequence(self, parts: Iterable[Any], following: int) -> int:
        """The state where the parts begin that end in `following`."""
        for operator, argument in reversed(list(parts)):
            following = self.part(str(operator), argument, following)
        return following

    def part(self, operator: str, argument: Any, following: int) -> int:
        match operator:
            case "SUBPATTERN":
                _, added, removed, inside = argument
                if added or removed:
                    raise NotRegular("it sets flags")
                return self.sequence(inside, following)
            case "BRANCH":
                return self.choice([self.sequence(branch, following) for branch in argument[1]])
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inside = argument
                return self.repetition(least, most, inside, following)
            case "AT" if str(argument) in (_AT_BEGINNING, _AT_END):
                state = self.new()
                self.places[state] = str(argument), following
                return state
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                state = self.new()
                self.signs[state] = _test(operator, argument), following
                return state
        raise NotRegular("it looks back or ahead")

    def choice(self, ways: list[int]) -> int:
        state = self.new()
        self.ways[state] = ways
        return state

    def repetition(self, least: int, most: Any, inside: Iterable[Any], following: int) -> int:
        inside = list(inside)
        if str(most) == "MAXREPEAT":
            start = self.choice([])
            self.ways[start] = [self.sequence(inside, start), following]
        else:
            start = following
            for _ in range(int(most) - least):
                start = self.choice([self.sequence(inside, start), following])
        for _ in range(least):
            start = self.sequence(inside, start)
        return start


class _Automaton:
    """Follows all states that are possible at once; where they lead is remembered."""

    def __init__(self, states: _States, start: int):
        self.states, self.start = states, start
        self.steps: dict[tuple[frozenset[int], str, bool], frozenset[int]] = {}

    def matches(self, text: str) -> bool:
        end = len(text)
        # `$` stands before a last line break as well.
        ends = {end, end - 1} if text.endswith("\n") else {end}
        now = self.reached([self.start], is_begin=True, is_end=0 in ends)
        for place, sign in enumerate(text, start=1):
            key = now, sign, place in ends
            following = self.steps.get(key)
            if following is None:
                waiting = (self.states.signs[state] for state in now if state in self.states.signs)
                following = self.reached([to for test, to in waiting if test(sign)], is_begin=False, is_end=key[2])
                if len(self.steps) >= _MOST_REMEMBERED:
                    self.steps.clear()
                self.steps[key] = following
            now = following
            if not now:
                return False
        return _MATCHED in now

    def reached(self, waiting: list[int], *, is_begin: bool, is_end: bool) -> frozenset[int]:
        """The states that wait for a sign, or have matched, reached from others without a sign."""
        found = set()
        seen = set()
        while waiting:
            state = waiting.pop()
            if state in seen:
                continue
            seen.add(state)
            if state in self.states.ways:
                waiting += self.states.ways[state]
            elif state in self.states.places:
                place, following = self.states.places[state]
                if is_begin if place == _AT_BEGINNING else is_end:
                    waiting.append(following)
            else:
                found.add(state)
        return frozenset(found)


_CATEGORIES = {
    "DIGIT": frozenset("0123456789"),
    "SPACE": frozenset(" \t\n\r\f\v"),
    "WORD": frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"),
}


def _test(operator: str, argument: Any) -> Test:
    """Whether a sign is the one, or one of the set, that a part of a pattern stands for."""
    match operator:
        case "LITERAL":
            wanted = chr(argument)
            return lambda sign: sign == wanted
        case "NOT_LITERAL":
            unwanted = chr(argument)
            return lambda sign: sign != unwanted
        case "ANY":
            return lambda sign: sign != "\n"
        case "RANGE":
            first, last = map(chr, argument)
            return lambda sign: first <= sign <= last
        case "CATEGORY":
            name = str(argument).removeprefix("CATEGORY_")
            signs = _CATEGORIES.get(name.removeprefix("NOT_"))
            if signs is None:
                raise NotRegular("it has a class of signs that is not known")
            return (lambda sign: sign not in signs) if name.startswith("NOT_") else (lambda sign: sign in signs)
        case "IN":
            is_negated = bool(argument) and str(argument[0][0]) == "NEGATE"
            tests = [_test(str(kind), value) for kind, value in argument[is_negated:]]
            return lambda sign: any(test(sign) for test in tests) != is_negated
    raise NotRegular("it looks back or ahead")


def _choices(parts: Iterable[Any]) -> int:
    """How many parts may match in several ways; two where one is inside another."""
    number = 0
    for operator, argument in parts:
        match str(operator):
            case "SUBPATTERN":
                number += _choices(argument[3])
            case "BRANCH":
                number += 1 + 2 * sum(_choices(branch) for branch in argument[1])
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inside = argument
                number += (least != most) + 2 * _choices(inside)
    return number
