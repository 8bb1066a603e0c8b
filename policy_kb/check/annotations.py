"""Annotations and doc comments, read into what they mean for relations and rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from policy_kb.check.checked import Attribute, Criterion, Domain, Phase, Possible, Relation, Rule
from policy_kb.check.declarations import Declarations, Report
from policy_kb.diagnostics import Kind, did_you_mean, listed
from policy_kb.parse import tree

_ON_RELATIONS = ("criterion", "closed", "ask", "single", "always_open", "refused", "policy")
_ON_ATTRIBUTES = ("one_of", "in", "at_least", "ongoing", "any_case")
_ON_RULES = ("criterion", "possible")
_PLACE = re.compile(r"\{([^{}]*)\}")


@dataclass
class _Reader:
    """The annotations of one item: each key at most once, but for `criterion`, and only where it has a meaning."""

    annotations: tuple[tree.Annotation, ...]
    allowed: tuple[str, ...]
    what: str
    report: Report

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for annotation in self.annotations:
            if annotation.key not in self.allowed:
                known = {*_ON_RELATIONS, *_ON_ATTRIBUTES, *_ON_RULES}
                elsewhere = annotation.key in known
                message = f"`@[{annotation.key}]` has no meaning on {self.what}" if elsewhere else (
                    f"there is no annotation `@[{annotation.key}]`")
                kind = Kind.BAD_ANNOTATION if elsewhere else Kind.UNKNOWN_ANNOTATION
                hint = None if elsewhere else did_you_mean(annotation.key, known)
                self.report(kind, annotation.span, message, hint or f"{self.what} may have {listed(self.allowed)}")
            elif annotation.key in seen and annotation.key != "criterion":
                self.report(Kind.BAD_ANNOTATION, annotation.span, f"`@[{annotation.key}]` is given twice",
                            "leave one out")
            seen.add(annotation.key)

    def find(self, key: str) -> tree.Annotation | None:
        return next((annotation for annotation in self.annotations if annotation.key == key), None)

    def flag(self, key: str) -> bool:
        annotation = self.find(key)
        if annotation is None or key not in self.allowed:
            return False
        if annotation.positional or annotation.named:
            self.bad(annotation, f"`@[{key}]` takes no values", f"write `@[{key}]`")
        return True

    def texts(self, annotation: tree.Annotation, least: int, most: int, form: str) -> list[str]:
        """The annotation's values, all of them texts, or as many empty ones as needed where they are not right."""
        texts = [value for value in annotation.positional if isinstance(value, str)]
        if len(texts) != len(annotation.positional) or annotation.named or not least <= len(texts) <= most:
            self.bad(annotation, f"`@[{annotation.key}]` is not of the form `{form}`", f"write `{form}`")
            return [""] * least
        return texts

    def bad(self, annotation: tree.Annotation, message: str, hint: str | None = None) -> None:
        self.report(Kind.BAD_ANNOTATION, annotation.span, message, hint)


def read_relations(found: Declarations, report: Report) -> dict[str, Relation]:
    """Every declared relation with what its annotations say."""
    inputs = {directive.relation for directive in found.directives if directive.kind == "input"}
    return {
        name: _relation(declaration, found, name in inputs, report) for name, declaration in found.relations.items()
    }


def _relation(declaration: tree.RelationDeclaration, found: Declarations, is_input: bool, report: Report) -> Relation:
    is_case = found.is_case_relation(declaration.name)
    annotations = _Reader(declaration.annotations, _ON_RELATIONS, "a relation", report)
    names = [attribute.name for attribute in declaration.attributes]
    for place in _PLACE.findall(declaration.doc):
        if place not in names:
            report(Kind.UNKNOWN_ATTRIBUTE, declaration.span, f"the sentence names `{{{place}}}`, no attribute of "
                   f"`{declaration.name}`", did_you_mean(place, names) or f"its attributes are {listed(names, 'and')}")

    def only_inputs(key: str) -> None:
        annotation = annotations.find(key)
        if annotation is not None and not (is_case and is_input):
            annotations.bad(annotation, f"`@[{key}]` has a meaning only on a case relation that is an `.input`",
                            "rows of the others come from rules or tables")

    for key in ("closed", "single", "ask", "always_open"):
        only_inputs(key)
    ask, always_open = annotations.find("ask"), annotations.find("always_open")
    closed, single = annotations.flag("closed"), annotations.flag("single")
    if always_open is not None and (closed or single):
        annotations.bad(always_open, "a relation that is always open cannot be `@[closed]` or `@[single]`",
                        "leave one out")
    refused = annotations.flag("refused")
    if refused and not is_case:
        annotations.bad(annotations.find("refused"), "only a case can be refused",  # type: ignore[arg-type]
                        "give the relation a first attribute of type `Case`")
    if refused and not declaration.doc:
        annotations.bad(annotations.find("refused"), "the message of a refusal is its doc comment",  # type: ignore[arg-type]
                        "write `/// what is wrong` above")
    return Relation(
        name=declaration.name,
        attributes=tuple(
            _attribute(attribute, found, report, is_case and place == 0)
            for place, attribute in enumerate(declaration.attributes)
        ),
        sentence=declaration.doc,
        span=declaration.span,
        is_case=is_case,
        is_input=is_input,
        is_closed=closed,
        is_single=single,
        ask=annotations.texts(ask, 1, 1, '@[ask("...?")]')[0] if ask else None,
        always_open=annotations.texts(always_open, 1, 1, '@[always_open("document")]')[0] if always_open else None,
        is_refusal=refused,
        criteria=_criteria(annotations, is_case, report),
        phase=_phase(annotations, declaration, is_case, report),
    )


def _criteria(annotations: _Reader, is_case: bool, report: Report) -> tuple[Criterion, ...]:
    result: list[Criterion] = []
    for annotation in annotations.annotations:
        if annotation.key != "criterion":
            continue
        (text,) = annotations.texts(annotation, 1, 1, '@[criterion("initiation 2.a")]')
        phase, _, number = text.partition(" ")
        if not text:
            continue
        if not number or number != number.strip() or " " in number:
            annotations.bad(annotation, f"`{text}` is not a phase and a paragraph",
                            'write the phase, a space and the paragraph: `@[criterion("initiation 2.a")]`')
        elif not is_case:
            annotations.bad(annotation, "a criterion speaks of a case",
                            "give the relation a first attribute of type `Case`")
        else:
            criterion = Criterion(phase, number)
            if criterion in result:
                report(Kind.CRITERION_TWICE, annotation.span, f"criterion `{criterion}` is given twice here",
                       "leave one out")
            result.append(criterion)
    return tuple(dict.fromkeys(result))


def _phase(
    annotations: _Reader, declaration: tree.RelationDeclaration, is_case: bool, report: Report
) -> Phase | None:
    annotation = annotations.find("policy")
    if annotation is None:
        return None
    form = '@[policy("09-X", phase = "initiation", title = "...", revised = "2025-07-15")]'
    named = {name: value for name, value in annotation.named if isinstance(value, str)}
    texts = [value for value in annotation.positional if isinstance(value, str)]
    if len(texts) != 1 or set(named) != {"phase", "title", "revised"} or len(annotation.named) != 3:
        annotations.bad(annotation, "`@[policy]` needs the policy's number, phase, title and revision",
                        f"write `{form}`")
        return None
    if not is_case or len(declaration.attributes) != 1:
        report(Kind.BAD_ANNOTATION, declaration.span, f"the root of a phase has one attribute, the case; "
               f"`{declaration.name}` has {len(declaration.attributes)}", f"declare `{declaration.name}(case: Case)`")
        return None
    return Phase(texts[0], named["phase"], named["title"], named["revised"], declaration.name)


def _attribute(
    attribute: tree.AttributeDeclaration, found: Declarations, report: Report, is_the_case: bool
) -> Attribute:
    annotations = _Reader(attribute.annotations, _ON_ATTRIBUTES, "an attribute", report)
    kind = found.kind(attribute.type)
    is_date = "Date" in found.types and found.is_below(attribute.type, "Date")
    one_of = annotations.find("one_of")
    values: tuple[tree.Value, ...] | None = None
    if one_of is not None:
        values = one_of.positional
        wrong = [value for value in values if _kind_of(value) != kind]
        if not values or one_of.named or wrong:
            annotations.bad(one_of, f"`@[one_of]` lists values of `{attribute.name}`, each a {kind}",
                            'write `@[one_of("first", "second")]`')
    at_least = annotations.find("at_least")
    least: int | float | None = None
    if at_least is not None:
        value = at_least.positional[0] if len(at_least.positional) == 1 else None
        if not isinstance(value, int | float) or kind == "symbol":
            annotations.bad(at_least, f"`@[at_least]` names the least value of a number; `{attribute.name}` is a {kind}"
                            if kind == "symbol" else "`@[at_least]` names one number", "write `@[at_least(1)]`")
        else:
            least = value
    ongoing, any_case = annotations.flag("ongoing"), annotations.flag("any_case")
    if ongoing and not is_date:
        annotations.bad(annotations.find("ongoing"), "only a date can be `ongoing`", "declare it as `Date`")  # type: ignore[arg-type]
    if any_case and kind != "symbol":
        annotations.bad(annotations.find("any_case"), "only a symbol has letter case", "leave it out")  # type: ignore[arg-type]
    if is_the_case and attribute.annotations:
        annotations.bad(attribute.annotations[0], "the case itself takes no annotation", "leave it out")
    return Attribute(
        attribute.name, attribute.type, kind, is_date, values, _domain(annotations, found, kind), least, ongoing,
        any_case,
    )


def _domain(annotations: _Reader, found: Declarations, kind: str) -> Domain | None:
    annotation = annotations.find("in")
    if annotation is None:
        return None
    relation, *columns = annotations.texts(annotation, 1, 99, "@[in(product)]")
    declaration = found.relations.get(relation)
    if declaration is None:
        annotations.report(Kind.UNKNOWN_RELATION, annotation.span, f"`@[in({relation})]`: `{relation}` is not declared",
                           did_you_mean(relation, found.relations) or "name a known relation")
        return None
    if found.is_case_relation(relation) or not declaration.attributes:
        annotations.bad(annotation, f"`{relation}` is not a known relation with attributes",
                        "name a relation of the rule files, such as a drug table")
        return None
    names = [attribute.name for attribute in declaration.attributes]
    for column in columns:
        if column not in names:
            annotations.report(Kind.UNKNOWN_ATTRIBUTE, annotation.span, f"`{relation}` has no attribute `{column}`",
                               did_you_mean(column, names) or f"its attributes are {listed(names, 'and')}")
            return None
    if kind != "symbol":
        annotations.bad(annotation, "`@[in(...)]` has a meaning only on a symbol", "use `@[one_of(...)]`")
        return None
    return Domain(relation, tuple(sorted({0, *(names.index(column) for column in columns)})))


def _kind_of(value: tree.Value) -> str:
    return {int: "number", float: "float", str: "symbol"}[type(value)]


def read_rule_annotations(
    rule: tree.Rule, number: int, relations: dict[str, Relation], report: Report
) -> Rule:
    """A rule with one head, with what its annotations say."""
    head = rule.heads[0]
    annotations = _Reader(rule.annotations, _ON_RULES, "a rule", report)
    is_case = relations[head.relation].is_case
    possible = None
    annotation = annotations.find("possible")
    if annotation is not None:
        words = annotations.texts(annotation, 0, 2, '@[possible("document", relation)]')
        possible = Possible(words[0] if words else "judgement", words[1] if len(words) > 1 else None)
        if not is_case or not rule.body:
            annotations.bad(annotation, "only a rule about a case can make its head possible", "leave it out")
        if possible.relation is not None and possible.relation not in relations:
            report(Kind.UNKNOWN_RELATION, annotation.span, f"`{possible.relation}` is not declared",
                   did_you_mean(possible.relation, relations) or "name the relation to ask about")
        if not rule.doc:
            annotations.bad(annotation, "what would settle a possible rule is its doc comment",
                            "write `/// what would settle it` above")
    return Rule(
        number, head, rule.body, rule.span, rule.doc, possible, _criteria(annotations, is_case, report)
    )


def check_criteria(
    relations: dict[str, Relation], rules: tuple[Rule, ...], reaches: Callable[[str], set[str]], report: Report
) -> tuple[Phase, ...]:
    """The phases of the program. Reported: a phase declared twice, a criterion stated by two relations or by a
    relation and a rule, one whose phase does not exist or does not depend on it.

    `reaches(root)` are the names of the relations a relation depends on, itself included.
    """
    phases: dict[str, Phase] = {}
    for relation in relations.values():
        if relation.phase is not None:
            if relation.phase.name in phases:
                report(Kind.CRITERION_TWICE, relation.span, f"the phase `{relation.phase.name}` has two roots",
                       "leave one `@[policy]` out")
            phases[relation.phase.name] = relation.phase
    stated: dict[Criterion, Relation] = {}
    for relation in relations.values():
        for criterion in relation.criteria:
            if criterion in stated:
                report(Kind.CRITERION_TWICE, relation.span, f"criterion `{criterion}` is given twice",
                       f"it is stated at {stated[criterion].span}")
            stated.setdefault(criterion, relation)
    for rule in rules:
        for criterion in rule.criteria:
            if criterion in stated:
                report(Kind.CRITERION_TWICE, rule.span, f"criterion `{criterion}` is given twice",
                       f"`{stated[criterion].name}` states it at {stated[criterion].span}")
    if phases:
        reached = {phase.name: reaches(phase.root) for phase in phases.values()}
        everywhere = [(relation.criteria, relation.name, relation.span) for relation in relations.values()]
        everywhere += [(rule.criteria, rule.head.relation, rule.span) for rule in rules]
        for criteria, name, span in everywhere:
            for criterion in criteria:
                if criterion.phase not in phases:
                    report(Kind.CRITERION_OUTSIDE, span, f"no phase is called `{criterion.phase}`",
                           did_you_mean(criterion.phase, phases) or f"the phases are {listed(phases, 'and')}")
                elif name not in reached[criterion.phase]:
                    report(Kind.CRITERION_OUTSIDE, span, f"criterion `{criterion}` is not part of the decision: "
                           f"`{phases[criterion.phase].root}` does not depend on `{name}`", "use it in a rule")
    return tuple(phases.values())
