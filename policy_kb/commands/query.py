"""`policy-kb query`: the rows of any relation for a case."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from policy_kb.commands import show_diagnostics
from policy_kb.commands._options import (
    as_json,
    bases,
    case,
    engine,
    form,
    policy,
    print_json,
    readings,
    styled,
    words,
)
from policy_kb.commands._progress import read_rules


@click.command(short_help="The rows of any relation for a case.")
@case
@click.argument("query", metavar="'relation(a, _)'", callback=words)
@form
@policy
@bases
@readings
@engine
@as_json
def command(
    case: Path, query: str, form: str | None, policy: str | None, bases: tuple[Path, ...],
    reading: dict[str, str], engine: str | None, with_json: bool,
) -> None:
    """Print the rows of a relation of the policy for CASE (a file, or `-` for the standard input), each marked certain
    (+) or possible (?).

    The query is one atom: values in quotes or as numbers, `_` for any value, a name for a value to show. The case
    itself may be left out. Dates are written as text.

    Exit code: 0 done, 1 the case or the query was refused, 2 wrong usage, 3 the rules were refused.

    \b
    Examples:
      policy-kb query kb/alemtuzumab/scenarios/younger-than-eighteen.yaml 'class_used(class)'
      policy-kb query kb/alemtuzumab/scenarios/younger-than-eighteen.yaml 'therapy("Avonex", started, _)'
    """
    from policy_kb.evaluate.plain import Row
    from policy_kb.explain.query import answer, parse_query
    from policy_kb.explain.written import json_value, sentence, shown
    from policy_kb.parse.tree import Variable
    from policy_kb.policies import Policies, the_document

    document = the_document(case, form)
    found = Policies(policy, engine, bases, read_rules).for_document(document)
    atom = parse_query(query, found.program, found.rules.known)
    decided = found.evaluate(document, reading, [atom.relation])
    if decided.facts.notes:
        show_diagnostics(decided.facts.notes, with_json)
    answers = answer(atom, found.program, decided.known, decided.model)
    attributes, written = answers.relation.attributes, partial(decided.facts.written.row, answers.relation)
    if with_json:
        def told(row: Row) -> list[object]:
            return [
                json_value(value) if attribute.kind == "float" else
                shown(value, attribute, text) if attribute.is_date or attribute.any_case else value
                for value, attribute, text in zip(row, attributes, written(row), strict=True)
            ]

        print_json({
            "relation": atom.relation,
            "open": answers.is_open,
            "rows": [
                {
                    "certain": is_certain,
                    "values": dict(zip([attribute.name for attribute in attributes], told(row), strict=True)),
                    "variables": {
                        argument.name: value for argument, value in zip(atom.arguments, told(row), strict=True)
                        if isinstance(argument, Variable) and argument.name in bindings
                    },
                    "says": sentence(answers.relation, row, decided.facts.written),
                }
                for (row, is_certain), bindings in zip(answers.rows, answers.bindings, strict=True)
            ],
        })
        return
    style = styled()
    for row, is_certain in answers.rows:
        columns = list(map(shown, row, attributes, written(row)))[answers.relation.is_case :]
        mark = "+" if is_certain else "?"
        text = f"{mark} {answers.relation.name}({', '.join(columns)})"
        click.echo(style(text, "met" if is_certain else "needs information"))
    if answers.is_open:
        click.echo(f"? {answers.relation.name} is open for this case: further rows may hold")
    elif not answers.rows:
        click.echo(f"no row of {answers.relation.name} matches")
