"""The columns of a batch's tables: which there are to be, what their values become, why one of them is refused."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from policy_kb.batch.shape import CASE, UNCERTAIN, given_column
from policy_kb.batch.sources import INCOMPLETE_TABLE, LISTINGS, Source
from policy_kb.batch.values import DUCKDB, BadColumnError, Dialect, ValueSql, reads, value_sql
from policy_kb.check.checked import Attribute, CheckedProgram, Relation
from policy_kb.diagnostics import Diagnostic, Hint, Kind, did_you_mean, listed, quoted, worked_out
from policy_kb.load.cases import REQUEST, is_single
from policy_kb.load.problems import MOST_PROBLEMS
from policy_kb.load.values import Known, Tables, expected
from policy_kb.record import record
from policy_kb.source import Span

NAME = Attribute(CASE, "Case", "symbol")
_RELATION = Attribute("relation", "relation", "symbol")

Why = tuple[str, str | None]
"""A reason and a hint."""
Reason = tuple[str, Hint]
"""As `Why`, the hint being worked out where it is shown."""


@record
class Column:
    """A column of a table: what its values become, and why one of them (as `ValueSql.text` gives it) is refused."""

    name: str
    is_text: bool
    sql: ValueSql
    why: Callable[[str | None], Reason]

    def prepared(self, place: int) -> str:
        """The column of the prepared table that it becomes, `place` being its own."""
        return UNCERTAIN if self.name == UNCERTAIN else given_column(place)


def has_a_row(relation: Relation) -> bool:
    """Every case has a row of the relation."""
    return relation.is_required


def shown(reason: Reason) -> Why:
    return reason[0], worked_out(reason[1])


def second_row(name: str) -> Why:
    also = ", or give each case a name of its own" if name == REQUEST else ""
    return f"a second row of `{name}`: a case has one", f"keep the right one{also}"


def no_row(name: str, columns: Iterable[Column]) -> Why:
    """Why a case is refused that has no row of a relation with these columns."""
    named = listed((one.name for one in columns), "and")
    return f"the case has no `{name}`", f"add a row to `{name}`, with {named}"


class Columns:
    """Makes the columns of tables by what a program declares."""

    def __init__(self, program: CheckedProgram, known: Known, dialect: Dialect = DUCKDB):
        self.program = program
        self.dialect = dialect
        self.inputs = {relation.name: relation for relation in program.inputs()}
        self.values = Tables(known)

    def refusal(self, name: str) -> Why | None:
        """Why there can be no table of a name, as a case would be told of a key."""
        if name in self.inputs or name in LISTINGS:
            return None
        declared = self.program.relations.get(name)
        near = did_you_mean(name, (*self.inputs, *LISTINGS)) if len(name) < 200 else None
        if declared is not None and declared.is_case:
            return f"`{name}` is decided by the rules, not stated by a case", near or "remove it"
        if declared is not None:
            return f"`{name}` belongs to the rules: it is the same for every case", "remove it"
        return f"{quoted(name)} is not a relation of a case", near or f"a table is one of {listed(self.inputs)}"

    def alike(self) -> Iterator[Why]:
        """Names that differ in letter case alone, which a database does not tell apart."""
        for name in self.inputs:
            if name.casefold() in LISTINGS:
                yield f"`{name}` is the name of a table that lists relations", "rename the relation in the rules"
        names = {"": list(self.inputs)}
        names |= {name: [one.name for one in relation.attributes[1:]] for name, relation in self.inputs.items()}
        for owner, members in names.items():
            first: dict[str, str] = {}
            for member in members:
                other = first.setdefault(member.casefold(), member)
                if other != member:
                    of_owner = f" of `{owner}`" if owner else ""
                    message = f"`{other}` and `{member}`{of_owner} differ in letter case alone"
                    yield message, "a batch cannot tell them apart: rename one in the rules"

    def lacking(self, tables: Container[str]) -> Iterator[Why]:
        """The tables that a batch needs and has not: every case has a row of the `@[required]` relations."""
        for name, relation in self.inputs.items():
            if name not in tables and has_a_row(relation):
                columns = listed((CASE, *(attribute.name for attribute in relation.attributes[1:])), "and")
                yield f"no table `{name}`", f"each case states it: add a table with the columns {columns}"
        if REQUEST not in self.inputs:
            yield "the rules know no `request`", "a batch is of cases of a policy"

    def names(self, source: Source) -> tuple[list[str], list[Diagnostic]]:
        """The columns that are read of a table, and what is not as declared."""
        relation = self.inputs.get(source.name)
        attributes = relation.attributes[1:] if relation else (_RELATION,)
        wanted = {CASE: NAME, **{attribute.name: attribute for attribute in attributes}}
        may_be_uncertain = relation is not None and relation.arity > 1 and not is_single(relation)
        known = [*wanted, UNCERTAIN] if may_be_uncertain else list(wanted)
        problems: list[Diagnostic] = []
        hints = ""
        for column in source.columns:
            if column in known:
                continue
            near = did_you_mean(column, known) if len(problems) < MOST_PROBLEMS else None
            hint = near or f"the columns are {listed(known, 'and')}"
            message = f"{quoted(column)} is not a column of `{source.name}`"
            if column == UNCERTAIN and relation is not None:
                why = "a case has one row of it" if is_single(relation) else "it is true or false"
                message, hint = f"`{relation.name}` is never uncertain: {why}", "remove the column `uncertain`"
            hints += near or ""
            problems.append(Diagnostic(Kind.UNKNOWN_ATTRIBUTE, Span(source.place, 1), message, hint))
        for name, attribute in wanted.items():
            # A misspelt column is missing too; that is one mistake and one problem.
            if name not in source.columns and f"`{name}`" not in hints:
                message = f"`{source.name}` has no column `{name}`"
                hint = f"add `{name}`: {expected(attribute)}"
                problems.append(Diagnostic(Kind.MISSING_ATTRIBUTE, Span(source.place, 1), message, hint))
        return [name for name in known if name in source.columns], problems

    def column(self, source: Source, name: str) -> Column:
        """A column of a table. Raises BadColumnError."""
        relation = self.inputs.get(source.name)
        column_type, column = source.columns[name], self.dialect.name(name)
        if name == CASE:
            return self._of_attribute(NAME, column, column_type)
        if relation is None:
            return self._of_listing(source.name, column, column_type)
        if name == UNCERTAIN:
            return _uncertain_column(column, column_type, self.dialect)
        attribute = next(one for one in relation.attributes[1:] if one.name == name)
        return self._of_attribute(attribute, column, column_type)

    def _of_attribute(self, attribute: Attribute, column: str, column_type: str) -> Column:
        def why(text: str | None) -> Reason:
            bad = reads(text, attribute, self.values)
            return (bad.message, bad.hint) if bad else (f"`{attribute.name}` is refused", None)

        sql = value_sql(attribute, column, column_type, self.values, self.dialect)
        return Column(attribute.name, column_type == "VARCHAR", sql, why)

    def _of_listing(self, table: str, column: str, column_type: str) -> Column:
        """The column `relation` of a table that lists relations: as `incomplete` of a case, or any that is stated."""
        names = tuple(name for name, relation in self.inputs.items()
                      if table != INCOMPLETE_TABLE or relation.can_be_listed_incomplete)
        attribute = Attribute(_RELATION.name, _RELATION.type, _RELATION.kind, one_of=names)

        def why(text: str | None) -> Reason:
            bad = reads(text, _RELATION, self.values)
            if bad:
                return bad.message, bad.hint
            relation = self.inputs.get(str(text))
            if relation is None:
                message, hint = self.refusal(str(text)) or (f"{quoted(text)} is not a relation of a case", None)
                return message, hint or f"write {listed(names)}"
            if is_single(relation):
                return f"`{text}` is never incomplete: a case has one row of it", "remove the row"
            return f"`{text}` is true or false, never incomplete", "remove the row"

        sql = value_sql(attribute, column, column_type, self.values, self.dialect)
        return Column(attribute.name, True, sql, why)


def _uncertain_column(column: str, column_type: str, dialect: Dialect) -> Column:
    if column_type == "BOOLEAN":
        sql = ValueSql(column, f"{column} IS NOT NULL", dialect.as_text(column))
    elif column_type == "VARCHAR":
        sql = ValueSql(f"({column} = 'true')", f"coalesce({column} IN ('true', 'false'), FALSE)", column)
    else:
        message = f"`{UNCERTAIN}` is true or false; the column has the type {column_type}"
        raise BadColumnError(message, "write the column as BOOLEAN, or as the text `true` or `false`")

    def why(text: str | None) -> Reason:
        if text is None or not text.strip():
            return f"`{UNCERTAIN}` has no value", "write `true` or `false`"
        return f"`{UNCERTAIN}` is true or false; the case says {quoted(text)}", "write `true` or `false`"

    return Column(UNCERTAIN, column_type == "VARCHAR", sql, why)
