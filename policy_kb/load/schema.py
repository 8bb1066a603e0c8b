"""The case format as a JSON Schema, made from the declarations of a policy's relations."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

from policy_kb.check.checked import Attribute, CheckedProgram, Relation
from policy_kb.dates import format_date
from policy_kb.load.cases import MOST_ROWS, is_single
from policy_kb.load.values import (
    GREATEST_NUMBER,
    LEAST_NUMBER,
    LONGEST_VALUE,
    ONGOING,
    OTHER,
    Known,
    Tables,
)
from policy_kb.numbers import BEYOND
from policy_kb.text import folded

Schema = dict[str, Any]

_TEXT = {"$ref": "#/$defs/text"}
_DATE = {"$ref": "#/$defs/date"}
_DEFINITIONS: Schema = {
    "text": {
        "description": "text, not empty, without characters that cannot be seen",
        "type": "string",
        "pattern": r"\S",
        "maxLength": LONGEST_VALUE,
        "not": {"pattern": r"[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e"
                           r"\u2060-\u206f\ufeff]"},
    },
    "date": {
        "description": "year-month-day, from 1900-01-01 to 2199-12-31",
        "type": "string",
        # The length shuts out a line break at the end, which `$` lets pass in some dialects.
        "maxLength": 10,
        "pattern": "^(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
    },
}


def case_schema(program: CheckedProgram, known: Known) -> Schema:
    """The JSON Schema (draft 2020-12) of one case in JSON; `known` holds the tables that `@[in(...)]` names.

    A case that is loaded is valid. A case that is valid is loaded, apart from what a schema cannot say: days that a
    month does not have, `other: NAME` with a name of the table, whole numbers written with a fraction of zero (`5.0`),
    keys given twice, rows that the rules refuse, two cases with one name, numbers or files beyond their longest, and
    the finer points of letters: which characters there are, and that `ß` is `SS`.
    """
    tables = Tables(known)
    properties: Schema = {
        "case": {**_TEXT, "title": "the name of the case"},
        "record": {"title": "`complete`: what is not mentioned does not exist", **_one_of_texts(["complete"])},
        "incomplete": _incomplete(program),
    }
    required = ["case"]
    for relation in program.inputs():
        properties[relation.name] = _relation(relation, tables)
        if relation.is_required:
            required.append(relation.name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a case",
        "description": "one key for each relation: a list of its rows, `[]` for none; what is left out is unknown",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        "$defs": _DEFINITIONS,
    }


def _incomplete(program: CheckedProgram) -> Schema:
    names = [relation.name for relation in program.inputs() if relation.can_be_listed_incomplete]
    title = "relations whose rows are true but not the whole story"
    if not names:
        return {"title": title, "type": "array", "maxItems": 0}
    return {"title": title, "anyOf": [{"enum": names}, {"type": "array", "items": {"enum": names}}]}


def _relation(relation: Relation, tables: Tables) -> Schema:
    """The rows of a relation: a list, or one row without a list; `true` or `false` where it has no attributes."""
    notes = _notes(relation)
    attributes = relation.attributes[1:]
    if not attributes:
        return {**notes, "type": "boolean"}
    properties = {attribute.name: _value(attribute, tables) for attribute in attributes}
    if not is_single(relation):
        properties["uncertain"] = {"title": "whether the row may or may not hold", "type": "boolean"}
    row: Schema = {
        "type": "object",
        "properties": properties,
        "required": [attribute.name for attribute in attributes],
        "additionalProperties": False,
    }
    rows = [row] if len(attributes) > 1 else [_value(attributes[0], tables), row]
    listed: Schema = {"type": "array", "items": {"anyOf": rows}, "maxItems": MOST_ROWS}
    if is_single(relation):
        listed |= {"minItems": 1 if relation.is_required else 0, "maxItems": 1}
    return {**notes, "anyOf": [*rows, listed]}


def _notes(relation: Relation) -> Schema:
    """What a person reads beside a relation: its sentence, what is asked for, and what leaving it out means."""
    notes: Schema = {"title": relation.sentence} if relation.sentence else {}
    if relation.always_open is not None:
        absent = "what is not given is asked for"
    elif relation.is_closed:
        absent = "left out means none"
    elif relation.is_required:
        absent = "required"
    else:
        absent = "left out means unknown"
    notes["description"] = f"{relation.ask} ({absent})" if relation.ask else absent
    return notes


def _value(attribute: Attribute, tables: Tables) -> Schema:
    if attribute.one_of is not None:
        return _one_of(attribute)
    if attribute.is_date:
        return {"anyOf": [_DATE, {"const": ONGOING}]} if attribute.may_be_ongoing else _DATE
    if attribute.kind == "number":
        least = LEAST_NUMBER if attribute.at_least is None else _number(attribute.at_least)
        most = GREATEST_NUMBER if attribute.at_most is None else _number(attribute.at_most)
        return {"type": "integer", "minimum": least, "maximum": most}
    if attribute.kind == "float":
        from_ = {"minimum": _number(attribute.at_least)} if attribute.at_least is not None else {
            "exclusiveMinimum": -BEYOND
        }
        to = {"maximum": _number(attribute.at_most)} if attribute.at_most is not None else {"exclusiveMaximum": BEYOND}
        return {"type": "number", **from_, **to}
    if attribute.domain is not None:
        values = sorted(map(str, tables.first_column(attribute.domain.relation)))
        named = {"allOf": [_TEXT, {"pattern": rf"^\s*{OTHER}\s*\S"}]}
        return {"anyOf": [_one_of_texts(values), named]} if values else named
    return _TEXT


def _one_of(attribute: Attribute) -> Schema:
    values = attribute.one_of or ()
    if attribute.is_date:
        return {"enum": [format_date(value) if isinstance(value, int) else value for value in values]}
    if attribute.kind == "symbol":
        return _one_of_texts([str(value) for value in values])
    return {"enum": [value if isinstance(value, str) else _number(value) for value in values]}


def _number(value: int | Fraction) -> int | float:
    """A number as JSON holds it; a limit has few digits."""
    return value if isinstance(value, int) else float(value)


def _one_of_texts(values: list[str]) -> Schema:
    """Declared texts, or these in other letters where it is clear which is meant."""
    alike = Counter(map(folded, values))
    clear = ["".join(map(_either_case, value)) for value in values if alike[folded(value)] == 1]
    return {"anyOf": [{"enum": values}, {**_TEXT, "pattern": rf"^\s*({'|'.join(clear)})\s*$"}]}


def _either_case(sign: str) -> str:
    if sign.lower() != sign.upper() and len(sign.upper()) == 1:
        return f"[{sign.lower()}{sign.upper()}]"
    return sign if sign.isalnum() or sign in " _,;:" else f"\\{sign}"
