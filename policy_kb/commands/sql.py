"""`policy-kb sql`: the SQL that a batch is decided with."""

from __future__ import annotations

from pathlib import Path

import click

from policy_kb.commands._options import as_json, bases, print_json, readings


@click.command(short_help="The SQL that a batch is decided with.")
@click.argument("policy")
@click.argument("phase")
@bases
@click.option("--open", "are_open", is_flag=True,
              help="For input where every relation may be open or uncertain, instead of stated for every case.")
@click.option("--engine", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True,
              help="Whose dialect of SQL it is.")
@readings
@as_json
def command(
    policy: str, phase: str, bases: tuple[Path, ...], are_open: bool, engine: str, reading: dict[str, str],
    with_json: bool,
) -> None:
    """Print the SQL that decides the cases of one PHASE of a POLICY (a number or a .dl file).

    Every condition names the rule it comes from, with file and line. Tables and columns have numbers; what they stand
    for is said in front of each query, other signs than letters, digits and plain ones as `%` and their code. The
    tables it reads are `given_0`, `given_1` ...: dates are days since 1970-01-01 there.

    Exit code: 0 done, 1 there is no such policy, 2 wrong usage, 3 the rules were refused.

    \b
    Example:
      policy-kb sql 09-J2000-27 initiation
    """
    from policy_kb import pipeline
    from policy_kb.batch.dialect import DUCKDB, remark
    from policy_kb.batch.plan import decisions
    from policy_kb.batch.shape import Given, Openness, given_column, given_table
    from policy_kb.batch.spark.dialect import SPARK
    from policy_kb.diagnostics import did_you_mean
    from policy_kb.load.cases import is_single
    from policy_kb.policies import load_policy

    loaded = load_policy(policy, bases=bases)
    found = next((one for one in loaded.program.phases if one.name == phase), None)
    if found is None:
        names = [one.name for one in loaded.program.phases]
        hint = did_you_mean(phase, names) or f"they are {', '.join(names)}"
        raise click.BadParameter(f"the policy has no phase `{phase}`; {hint}", param_hint="PHASE")
    shape = {}
    for number, relation in enumerate(loaded.program.inputs()):
        may_be_open = relation.may_be_open and (are_open or relation.always_open is not None)
        openness = Openness.NEVER if not may_be_open else (
            Openness.ALWAYS if relation.always_open is not None else Openness.SOME
        )
        shape[relation.name] = Given(given_table(number), True, are_open and not is_single(relation), openness)
    chosen = tuple(sorted(pipeline.checked_readings(loaded.rules, reading).items()))
    dialect = SPARK if engine == "spark" else DUCKDB
    query = decisions(loaded.rules, loaded.known_under(chosen), found, shape, dialect)
    tables = {
        given.table: [name, *(f"{given_column(place)} {one.name}"
                              for place, one in enumerate(loaded.program.relations[name].attributes) if place)]
        for name, given in shape.items()
    }
    if with_json:
        steps = [{"name": step.name, "notes": list(step.notes), "sql": step.sql} for step in query.script.steps]
        print_json({"macros": list(dialect.macros), "steps": steps, "last": query.script.last,
                    "names": {**{table: ", ".join(said) for table, said in tables.items()}, **query.script.legend}})
        return
    for macro in dialect.macros:
        click.echo(f"{macro};\n")
    for table, said in tables.items():
        click.echo(f"-- {table}: {remark(', '.join(said))}")
    click.echo()
    for step in query.script.steps:
        for name in query.script.defined_by(step):
            click.echo(f"-- {name}: {remark(query.script.legend[name])}")
        for note in step.notes:
            click.echo(f"-- {note}")
        click.echo(f"{dialect.creation(step.name)}\n{step.sql};\n")
    click.echo(f"{query.script.last};")
