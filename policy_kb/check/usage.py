"""Relations that nothing defines, and relations that nothing reads."""

from __future__ import annotations

from pathlib import PurePosixPath

from policy_kb.check.checked import Relation
from policy_kb.check.declarations import Declarations, Report
from policy_kb.check.strata import Dependency
from policy_kb.diagnostics import Kind, did_you_mean
from policy_kb.parse import tree

_READ_BY_NAME = ("covers", "not_applicable", "notice", "approval", "granted", "reading", "alternative", "section")


def check_usage(
    found: Declarations, relations: dict[str, Relation], edges: list[Dependency], report: Report
) -> None:
    """A relation that is read but can have no row is an error where it speaks of a case (every answer that rests on
    it would be wrong) and a warning elsewhere; a relation that is never read is a warning, of a policy only in the
    folders of its phases."""
    defined = {rule.heads[0].relation for rule in found.rules}
    defined |= {directive.relation for directive in found.directives if directive.kind == "input"} & relations.keys()
    reported: set[str] = set()
    for edge in edges:
        relation = relations[edge.body]
        if edge.body not in defined and edge.body not in reported:
            reported.add(edge.body)
            message = f"`{edge.body}` has no rule, no fact and no `.input`"
            hint = did_you_mean(edge.body, defined & {n for n in defined if relations[n].is_case == relation.is_case})
            if relation.is_case:
                report(Kind.NEVER_DEFINED, edge.span, message, hint or "write a rule for it, or `.input`")
            else:
                report.warn(Kind.NEVER_DEFINED, edge.span, message, hint or "write a fact, a rule or `.input`")
    read = {edge.body for edge in edges} | {d.relation for d in found.directives if d.kind == "output"}
    read |= {attribute.domain.relation for r in relations.values() for attribute in r.attributes if attribute.domain}
    read |= _sections(found)
    own = {PurePosixPath(relation.span.file).parent for relation in relations.values() if relation.phase}
    for relation in relations.values():
        if own and PurePosixPath(relation.span.file).parent not in own:
            continue  # a vocabulary serves other policies too
        is_named = relation.name in _READ_BY_NAME and any(r.phase for r in relations.values())
        is_result = relation.phase is not None or relation.is_refusal or relation.criteria
        if relation.name not in read and not (is_named or is_result or (relation.is_case and relation.is_input)):
            report.warn(Kind.NEVER_USED, relation.span, f"nothing reads `{relation.name}`",
                        "use it in a rule, write `.output`, or leave it out")


def _sections(found: Declarations) -> set[str]:
    """The relations that `section` facts name."""
    return {
        argument.value
        for rule in found.rules
        if rule.heads[0].relation == "section" and not rule.body
        for argument in rule.heads[0].arguments[2:]
        if isinstance(argument, tree.Constant) and isinstance(argument.value, str)
    }
