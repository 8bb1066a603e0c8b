"""Every kind of change that can be made to a determination: what the audit must refuse.

A mutant differs from the determination at one place. The kinds are found, not listed: every field of every sort of part
is changed, left out, emptied, put in twice or exchanged; and some parts take the place of others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

Path = tuple[str | int, ...]
Json = dict[str, Any]
Change = Callable[[Any, random.Random], Any]

Places = list[tuple[Path, Any]]

ANSWERS = ("met", "not met", "needs information")
WORDS = {
    "answer": ANSWERS,
    "decision": (*ANSWERS, "not applicable"),
    "why": ("not stated", "incomplete", "uncertain", "document", "judgement"),
    "operator": ("=", "!=", "<", "<=", ">", ">="),
    "kind": ("given", "absent", "closed", "open", "compared", "counted", "aggregated", "rule", "refuted", "doubted",
             "attempt", "rows"),
}
"""Fields that say one of a few words."""

_LEFT_OUT, _NULL = object(), object()
"""What a change gives for a part to be left out, and for the value `null`; None: the change cannot be made."""


def mutants(said: Json, source: random.Random, most: int) -> Iterator[tuple[str, Json]]:
    """Some mutants, each of another kind, in random order."""
    places = list(parts(said))
    kinds: dict[str, list[tuple[Path, Change]]] = {}
    for path, part in places:
        for kind, change in changes(path, part):
            kinds.setdefault(kind, []).append((path, change))
    for kind, exchange in _EXCHANGES.items():
        kinds[kind] = [((), partial(_exchange, exchange, places))]
    names = sorted(kinds)
    source.shuffle(names)
    for kind in names:
        if most == 0:
            return
        path, change = source.choice(kinds[kind])
        mutant = with_change(said, path, partial(_changed, change, source))
        if mutant is not None and mutant != said:
            most -= 1
            yield kind, mutant


def _exchange(change: Callable[..., Any], places: Places, whole: Json, source: random.Random) -> Any:
    return change(whole, places, source)


def _changed(change: Change, source: random.Random, part: Any) -> Any:
    return change(part, source)


def parts(said: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every part of a determination with the way to it."""
    waiting: list[tuple[Path, Any]] = [(path, said)]
    while waiting:
        path, part = waiting.pop()
        yield path, part
        if isinstance(part, dict):
            waiting += [((*path, key), value) for key, value in part.items()]
        elif isinstance(part, list):
            waiting += [((*path, number), value) for number, value in enumerate(part)]


def with_change(said: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """The determination in which a part is changed; None where it cannot be."""
    if not path:
        return change(said)
    changed = with_change(said[path[0]], path[1:], change)
    if changed is None:
        return None
    copy = said.copy()
    if changed is _LEFT_OUT:
        del copy[path[0]]
    else:
        copy[path[0]] = None if changed is _NULL else changed
    return copy


def changes(path: Path, part: Any) -> Iterator[tuple[str, Change]]:
    """The changes of one part, each with the name of its kind."""
    if not path:
        yield "a field put in: determination", lambda part, source: {**part, "note": "x"}
        return
    name = _name(path)
    if path != ("explanation",):  # without it there is less to check, and nothing wrong
        yield f"left out: {name}", lambda part, source: _LEFT_OUT
    yield f"of another sort: {name}", lambda part, source: [part] if isinstance(part, dict) else {"x": part}
    if isinstance(part, dict):
        yield f"a field put in: {name}", lambda part, source: {**part, "x": 1}
        yield f"emptied: {name}", lambda part, source: {} if part else None
    elif isinstance(part, list):
        yield f"emptied: {name}", lambda part, source: [] if part else None
        yield f"an entry twice: {name}", _twice
        yield f"entries exchanged: {name}", _exchanged
        yield f"an entry put in: {name}", lambda part, source: [*part, "x"]
    elif path[-1] in ("at", "rule") and isinstance(part, str):
        yield f"the line: {name}", _other_line
        yield f"the file: {name}", _other_file
    elif path[-1] in WORDS:
        words = WORDS[str(path[-1])]
        yield f"changed: {name}", lambda part, source: source.choice([word for word in words if word != part])
        yield f"no such word: {name}", lambda part, source: f"{part} "
    else:
        yield f"changed: {name}", other
    if part is not None:
        yield f"nothing said: {name}", lambda part, source: _NULL
    if isinstance(part, bool):
        yield f"text for a truth: {name}", lambda part, source: str(part).lower()


def other(value: Any, source: random.Random) -> Any:
    """Another value of the same sort."""
    match value:
        case bool():
            return not value
        case int():
            return value + source.choice((1, -1, 1000))
        case float():
            return value + 0.5
        case str() if value.startswith("sha256:"):
            place = source.randrange(7, len(value))
            return value[:place] + ("0" if value[place] != "0" else "1") + value[place + 1 :]
        case str():
            return source.choice((f"{value}x", value[:-1] or "x", value.swapcase() if value.isascii() else f"x{value}"))
        case None:
            return source.choice((3, "x", False))
    raise AssertionError(value)


def _name(path: Path) -> str:
    """The sort of part at the end of a way: fields by their names, entries by that of their list."""
    *above, last = path
    if isinstance(last, int):
        return f"an entry of {_name(tuple(above))}"
    names = [step for step in above if isinstance(step, str)]
    return f"{names[-1]}.{last}" if names else str(last)


def _twice(part: list[Any], source: random.Random) -> Any:
    if not part:
        return None
    place = source.randrange(len(part))
    return [*part[: place + 1], *part[place:]]


def _exchanged(part: list[Any], source: random.Random) -> Any:
    if len(part) < 2:
        return None
    one, another = source.sample(range(len(part)), 2)
    copy = part.copy()
    copy[one], copy[another] = copy[another], copy[one]
    return copy


def _other_line(part: str, source: random.Random) -> str:
    file, colon, line = part.rpartition(":")
    return f"{file}:{int(line) + source.choice((1, 2, 10))}" if colon and line.isdigit() else f"{part}:1"


def _other_file(part: str, source: random.Random) -> str:
    folder, slash, name = part.rpartition("/")
    return f"{folder}{slash}x{name}"


# parts in the place of others


def _nodes(places: Places) -> Places:
    return [(path, part) for path, part in places if isinstance(part, dict) and {"id", "kind"} <= part.keys()]


_REFERRING = ("root", "node", "row", "open", "because", "closed", "instead", "besides", "behind", "attempts")
"""Fields that hold numbers of nodes."""


def _references(places: Places) -> Places:
    return [
        (path, part) for path, part in places
        if type(part) is int and path[0] == "explanation" and {path[-1], path[-2]} & set(_REFERRING)
    ]


def _two_nodes(whole: Json, places: Places, source: random.Random) -> Any:
    """Two nodes exchange their numbers."""
    nodes = _nodes(places)
    if len(nodes) < 2:
        return None
    (one, first), (another, second) = source.sample(nodes, 2)
    changed = with_change(whole, one, lambda part: {**second, "id": first["id"]})
    return with_change(changed, another, lambda part: {**first, "id": second["id"]})


def _to_another(whole: Json, places: Places, source: random.Random) -> Any:
    """A reference to any other node, or to none."""
    numbers = [node["id"] for _, node in _nodes(places)]
    path, number = source.choice(_references(places))
    return with_change(whole, path, lambda _: source.choice([n for n in (*numbers, -1, 10**6) if n != number]))


def _to_itself(whole: Json, places: Places, source: random.Random) -> Any:
    """A node refers to itself, or to one that refers to it."""
    inside = [(path, number) for path, number in _references(places) if path[1] == "nodes"]
    if not inside:
        return None
    path, _ = source.choice(inside)
    return with_change(whole, path, lambda number: source.randint(int(path[2]), len(whole["explanation"]["nodes"]) - 1))


def _stands_twice(whole: Json, places: Places, source: random.Random) -> Any:
    """A node stands a second time under a number of its own, and a part refers to that."""
    nodes = whole["explanation"]["nodes"]
    path, number = source.choice(_references(places))
    changed = with_change(whole, path, lambda _: len(nodes))
    again = {**nodes[number], "id": len(nodes)}
    return with_change(changed, ("explanation", "nodes"), lambda nodes: [*nodes, again])


def _left_over(whole: Json, places: Places, source: random.Random) -> Any:
    nodes = whole["explanation"]["nodes"]
    more = {**source.choice(nodes), "id": len(nodes), "says": "nothing refers to this"}
    return with_change(whole, ("explanation", "nodes"), lambda nodes: [*nodes, more])


def _of_kind(kinds: tuple[str, ...], change: Callable[[Json], Json]) -> Callable[..., Any]:
    def changed(whole: Json, places: Places, source: random.Random) -> Any:
        fitting = [(path, node) for path, node in _nodes(places) if node["kind"] in kinds]
        if not fitting:
            return None
        path, _ = source.choice(fitting)
        return with_change(whole, path, change)

    return changed


def _open_as_absent(node: Json) -> Json:
    return {**{key: value for key, value in node.items() if key != "why"}, "kind": "absent", "at": None}


def _without_open_branch(node: Json) -> Json:
    return {key: value for key, value in node.items() if key not in ("open", "otherwise")}


def _branches_exchanged(node: Json) -> Json:
    if len(node["rows"]) < 2:
        return node
    one, another, *rest = node["rows"]
    return {**node, "rows": [{**one, "then": another["then"]}, {**another, "then": one["then"]}, *rest]}


def _criterion(whole: Json, places: Places, source: random.Random) -> Any:
    if not whole["criteria"]:
        return {**whole, "criteria": {"1": "met"}}
    number = source.choice(sorted(whole["criteria"]))
    word = source.choice([answer for answer in ANSWERS if answer != whole["criteria"][number]])
    return {**whole, "criteria": {**whole["criteria"], number: word}}


def _with(key: str, entry: Any) -> Callable[..., Any]:
    def changed(whole: Json, places: Places, source: random.Random) -> Any:
        return {**whole, key: {**whole[key], **entry} if isinstance(whole[key], dict) else [*whole[key], entry]}

    return changed


_EXCHANGES: dict[str, Callable[..., Any]] = {
    "two nodes exchanged": _two_nodes,
    "a reference to another node": _to_another,
    "a reference to what rests on it": _to_itself,
    "a node twice": _stands_twice,
    "a node left over": _left_over,
    "what is open is absent": _of_kind(("open",), _open_as_absent),
    "a doubt is a refutation": _of_kind(("doubted",), lambda node: {**node, "kind": "refuted"}),
    "a refutation is a doubt": _of_kind(("refuted",), lambda node: {**node, "kind": "doubted"}),
    "the open branch is left out": _of_kind(("rows",), _without_open_branch),
    "what becomes of two rows exchanged": _of_kind(("rows",), _branches_exchanged),
    "a criterion's answer": _criterion,
    "a criterion put in": _with("criteria", {"99.z": "met"}),
    "a reading put in": _with("readings", {"brand_trial": "counts"}),
    "a notice put in": _with("notices", "the case is special"),
    "something missing put in": _with(
        "missing", {"relation": "relapse", "why": "not stated", "criteria": [], "ask": "Was there a relapse?"}
    ),
    "an approval of one dose more": lambda whole, places, source: {
        **whole, "approval": [{"amount": (whole["approval"] or [{"amount": 0}])[0]["amount"] + 1, "unit": "doses"}]
    },
}
