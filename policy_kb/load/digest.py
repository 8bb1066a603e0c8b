"""The fingerprints of what a case says, and of the rule files: anyone can recompute them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction

from policy_kb.check.checked import Attribute, CheckedProgram
from policy_kb.dates import format_date
from policy_kb.load.facts import Row
from policy_kb.parse.tree import Value


def digest_of(
    program: CheckedProgram, case: str, rows: Mapping[str, tuple[Row, ...]], open_relations: Mapping[str, str]
) -> str:
    """`sha256:` and, in hexadecimal, the SHA-256 of a JSON text that says what a case says:

        {"case": NAME, "certain": {RELATION: [ROW, ...]}, "open": {RELATION: WHY}, "uncertain": {RELATION: [ROW, ...]}}

    The text is UTF-8, without spaces; the keys of every mapping are sorted by code point; characters beyond ASCII stand
    for themselves, and only `"`, the backslash and control characters are escaped.

    `certain` and `uncertain` name the relations that have such rows. A ROW is a mapping of attribute to value, without
    the case. A row stands once: a certain one is not among the uncertain ones. The rows of a relation are sorted by
    their own JSON text. `open` names every open relation with the reason, as in `Facts.open`.

    Dates are text as a case writes them (`2025-07-15`, `ongoing`); whole numbers are JSON numbers without a fraction; a
    float is a text, the fraction in lowest terms, a whole one without its denominator (`25/2`, `12`); text is as the
    case writes it, folded to lower case where its attribute is `@[any_case]`.

    So the order of keys, rows and attributes, how a row was written, the file and its lines leave no trace.
    """

    def written(is_uncertain: bool) -> dict[str, list[dict[str, Value]]]:
        found = {}
        for name, all_rows in rows.items():
            attributes = program.relations[name].attributes[1:]
            chosen = [
                {one.name: _as_written(value, one) for one, value in zip(attributes, row.values[1:], strict=True)}
                for row in all_rows
                if row.is_uncertain == is_uncertain
            ]
            if chosen:
                found[name] = sorted(chosen, key=_json)
        return found

    whole = {"case": case, "certain": written(False), "open": dict(open_relations), "uncertain": written(True)}
    return "sha256:" + hashlib.sha256(_json(whole).encode()).hexdigest()


def _as_written(value: Value, attribute: Attribute) -> Value:
    if attribute.is_date and isinstance(value, int):
        return format_date(value)
    return str(value) if isinstance(value, Fraction) else value


_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def digest_of_files(program: CheckedProgram, tables: Mapping[str, bytes] | None = None) -> str:
    """`sha256:` of the rule files' texts and of the known tables, each by its name in its knowledge base. `tables` has
    the contents of these by the names of their relations."""
    named = {name: text.encode() for name, text in program.files.items()}
    tables = tables or {}
    named |= {table.name: tables[table.relation] for table in program.tables if table.relation in tables}
    whole = hashlib.sha256()
    for name, content in sorted(named.items()):
        whole.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"sha256:{whole.hexdigest()}"

