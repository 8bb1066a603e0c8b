"""Annotations and doc comments, read into what they mean for relations and rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from policy_kb.check.checked import Attribute, Criterion, Domain, Phase, Possible, Relation, Rule
from policy_kb.check.declarations import Declarations, Report
from policy_kb.check.meeting import Meetings
from policy_kb.dates import ONGOING, BadDate, parse_date
from policy_kb.diagnostics import Kind, did_you_mean, listed
from policy_kb.nothing import NOTHING
from policy_kb.numbers import exactly
from policy_kb.parse import tree
from policy_kb.text import folded

_ON_RELATIONS = ("criterion", "closed", "ask", "single", "required", "always_open", "refused", "policy")
_ON_ATTRIBUTES = ("one_of", "in", "at_least", "at_most", "unit", "exact", "ongoing", "any_case")
_ON_RULES = ("criterion", "possible")
_POLICY = {"phase": True, "title": True, "revised": True, "payer": False, "effective": False, "until": False,
           "day": False}
"""What `@[policy]` names beside the policy's number, and whether it has to be there."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
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

    def find_many(self, key: str) -> list[tree.Annotation]:
        return [annotation for annotation in self.annotations if annotation.key == key]

    def found(self, key: str) -> tree.Annotation:
        return self.find_many(key)[0]

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
    phases = phase_names(found)
    meetings = Meetings(found.rules)
    return {
        name: _relation(declaration, found, name in inputs, phases, meetings, report)
        for name, declaration in found.relations.items()
    }


def phase_names(found: Declarations) -> list[str]:
    """The names of the phases that `@[policy(...)]` declares."""
    policies = (one for declared in found.relations.values() for one in declared.annotations if one.key == "policy")
    return [value for one in policies for name, value in one.named if name == "phase" and isinstance(value, str)]


def _relation(
    declaration: tree.RelationDeclaration, found: Declarations, is_input: bool, phases: list[str],
    meetings: Meetings, report: Report
) -> Relation:
    is_case = found.is_case_relation(declaration.name)
    annotations = _Reader(declaration.annotations, _ON_RELATIONS, "a relation", report)
    names = [attribute.name for attribute in declaration.attributes]
    for place in _PLACE.findall(declaration.doc):
        if place not in names:
            report(Kind.UNKNOWN_ATTRIBUTE, declaration.span, f"the sentence names `{{{place}}}`, no attribute of "
                   f"`{declaration.name}`", did_you_mean(place, names) or f"its attributes are {listed(names, 'and')}")

    for key in ("closed", "single", "required", "ask", "always_open"):
        annotation = annotations.find(key)
        if annotation is not None and not (is_case and is_input):
            annotations.bad(annotation, f"`@[{key}]` has a meaning only on a case relation that is an `.input`",
                            "rows of the others come from rules or tables")
    ask, always_open = annotations.find("ask"), annotations.find("always_open")
    closed, single, required = (annotations.flag(key) for key in ("closed", "single", "required"))
    if always_open is not None and (closed or single):
        annotations.bad(always_open, "a relation that is always open cannot be `@[closed]` or `@[single]`",
                        "leave one out")
    is_request = is_case and is_input and declaration.name == "request"
    if closed and (required or is_request):
        annotations.bad(annotations.found("closed"), "a relation that every case states has no need to be closed",
                        "leave `@[closed]` out")
    refused = annotations.flag("refused")
    if refused and not is_case:
        annotations.bad(annotations.found("refused"), "only a case can be refused",
                        "give the relation a first attribute of type `Case`")
    if refused and not declaration.doc:
        annotations.bad(annotations.found("refused"), "the message of a refusal is its doc comment",
                        "write `/// what is wrong` above")
    attributes = tuple(
        _attribute(attribute, found, report, is_case and place == 0)
        for place, attribute in enumerate(declaration.attributes)
    )
    if is_case and is_input and not required and not is_request:
        words = NOTHING - {folded(text) for text in meetings.texts(declaration.name, 1)} if len(names) == 2 else ()
        attributes = tuple(_that_may_be_none(attribute, tuple(sorted(words))) for attribute in attributes)
    return Relation(
        name=declaration.name,
        attributes=attributes,
        sentence=declaration.doc,
        span=declaration.span,
        is_case=is_case,
        is_input=is_input,
        is_closed=closed,
        is_single=single or is_request,
        is_required=required or is_request,
        ask=annotations.texts(ask, 1, 1, '@[ask("...?")]')[0] if ask else None,
        always_open=annotations.texts(always_open, 1, 1, '@[always_open("document")]')[0] if always_open else None,
        is_refusal=refused,
        criteria=_criteria(annotations, is_case, phases, report),
        phase=_phase(annotations, declaration, is_case, found, report),
    )


def _criteria(annotations: _Reader, is_case: bool, phases: list[str], report: Report) -> tuple[Criterion, ...]:
    result: list[Criterion] = []
    for annotation in annotations.find_many("criterion"):
        (text,) = annotations.texts(annotation, 1, 1, '@[criterion("initiation 2.a")]')
        if not text:
            continue
        declared = [phase for phase in phases if text.startswith(f"{phase} ")]
        phase = max(declared, key=len, default=text.rpartition(" ")[0])
        number = text.removeprefix(phase).removeprefix(" ")
        if not phase or not number or " " in number:
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
    annotations: _Reader, declaration: tree.RelationDeclaration, is_case: bool, found: Declarations, report: Report
) -> Phase | None:
    annotation = annotations.find("policy")
    if annotation is None:
        return None
    form = '@[policy("09-X", phase = "initiation", title = "...", revised = "2025-07-15")]'
    named = {name: value for name, value in annotation.named if isinstance(value, str) and value.strip()}
    texts = [value for value in annotation.positional if isinstance(value, str) and value.strip()]
    names = [name for name, _ in annotation.named]
    unknown = next((name for name in names if name not in _POLICY), None)
    if unknown is not None:
        annotations.bad(annotation, f"`@[policy]` has no `{unknown}`",
                        did_you_mean(unknown, _POLICY) or f"it names {listed(_POLICY, 'and')}")
        return None
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        annotations.bad(annotation, f"`@[policy]` gives `{twice}` twice", "leave one out")
        return None
    bad = next((name for name, value in annotation.named if value not in (" ".join(str(value).split()) or None,)), None)
    if bad is not None:
        annotations.bad(annotation, f"`{bad}` of `@[policy]` is a text with single blanks between its words",
                        f'write `{bad} = "..."`')
        return None
    lacking = [name for name, is_needed in _POLICY.items() if is_needed and name not in named]
    if len(texts) != 1 or len(annotation.positional) != 1 or lacking:
        annotations.bad(annotation, "`@[policy]` needs the policy's number, phase, title and revision",
                        f"write `{form}`")
        return None
    if not is_case or len(declaration.attributes) != 1:
        report(Kind.BAD_ANNOTATION, declaration.span, f"the root of a phase has one attribute, the case; "
               f"`{declaration.name}` has {len(declaration.attributes)}", f"declare `{declaration.name}(case: Case)`")
        return None
    named = {"payer": None, "effective": named["revised"], "until": None, "day": "received", **named}  # type: ignore[dict-item]
    _check_days(annotation, named, found, report)
    return Phase(texts[0], named["phase"], named["title"], named["revised"], declaration.name, named["payer"],
                 named["effective"], named["until"], named["day"])


def _check_days(
    annotation: tree.Annotation, named: Mapping[str, str | None], found: Declarations, report: Report
) -> None:
    """Report days of an edition that are none, an end before the beginning, and a day that no request has."""
    days: dict[str, int] = {}
    for name in ("revised", "effective", "until"):
        written = named[name]
        if written is None or (name == "effective" and written == named["revised"]):
            continue
        try:
            days[name] = parse_date(written)
            if days[name] == ONGOING:
                raise BadDate(f"`{written}` stands for no end")
        except BadDate as problem:
            report(Kind.BAD_DATE, annotation.span, f"`{name}` of `@[policy]`: {problem}",
                   f'write year-month-day: `{name} = "2025-07-15"`')
    first = days.get("effective", days.get("revised"))
    if first is not None and days.get("until", first) < first:
        begins = named["effective"]
        report(Kind.BAD_ANNOTATION, annotation.span,
               f"the edition ends on {named['until']}, before it begins on {begins}",
               "`effective` and `until` are the first and the last day on which it holds")
    request = found.relations.get("request")
    if request is not None:
        dates = [one.name for one in request.attributes if found.kind(one.type) == "number"]
        if named["day"] not in dates:
            report(Kind.BAD_ANNOTATION, annotation.span, f"`request` has no date `{named['day']}`",
                   did_you_mean(str(named["day"]), dates) or f"`day` names {listed(dates)}" if dates
                   else "declare `request` with the day it was received: `received: Date`")


def _attribute(
    attribute: tree.AttributeDeclaration, found: Declarations, report: Report, is_the_case: bool
) -> Attribute:
    annotations = _Reader(attribute.annotations, _ON_ATTRIBUTES, "an attribute", report)
    kind = found.kind(attribute.type)
    is_date = "Date" in found.types and found.is_below(attribute.type, "Date")
    least, most = (_limit(annotations, key, attribute, kind, is_date) for key in ("at_least", "at_most"))
    if least is not None and most is not None and most < least:
        annotations.bad(annotations.found("at_most"), f"`{attribute.name}` is at least {exactly(least)} and at most "
                        f"{exactly(most)}: no number is", "exchange them")
    unit = annotations.find("unit")
    if unit is not None and (kind == "symbol" or is_date):
        annotations.bad(unit, f"`@[unit]` says what a number counts; `{attribute.name}` is a {_sort(kind, is_date)}",
                        "leave it out")
    for key, needed, problem, hint in (
        ("ongoing", is_date, "only a date can be `ongoing`", "declare it as `Date`"),
        ("any_case", kind == "symbol", "only a symbol has letter case", "leave it out"),
        ("exact", kind != "symbol", "only a number or a date can have bounds", "leave it out"),
    ):
        if annotations.flag(key) and not needed:
            annotations.bad(annotations.found(key), problem, hint)
    for key in ("one_of", "in"):
        if annotations.find(key) is not None and annotations.find("any_case") is not None:
            annotations.bad(annotations.found("any_case"), f"`@[any_case]` stands never beside `@[{key}]`: values of "
                            "such a set are read in any letter case", "leave it out")
    if is_the_case and attribute.annotations:
        annotations.bad(attribute.annotations[0], "the case itself takes no annotation", "leave it out")
    return Attribute(
        attribute.name, attribute.type, kind, is_date, _one_of(annotations, attribute, kind),
        _domain(annotations, found, kind), least, most,
        annotations.texts(unit, 1, 1, '@[unit("mg")]')[0] if unit else None, annotations.flag("exact"),
        annotations.flag("ongoing"), annotations.flag("any_case"),
    )


def _that_may_be_none(attribute: Attribute, words: tuple[str, ...]) -> Attribute:
    """An attribute of an input of which a case may have no row. As free text, it is none of `words`, which say that
    there is none."""
    is_free = attribute.kind == "symbol" and attribute.one_of is None and attribute.domain is None
    return replace(attribute, may_be_none=True, refuses=words if is_free else ())


def _sort(kind: str, is_date: bool) -> str:
    return "date" if is_date else kind


def _limit(
    annotations: _Reader, key: str, attribute: tree.AttributeDeclaration, kind: str, is_date: bool
) -> int | Fraction | None:
    """The least or the greatest value of a number."""
    annotation = annotations.find(key)
    if annotation is None:
        return None
    which = "least" if key == "at_least" else "greatest"
    value = annotation.positional[0] if len(annotation.positional) == 1 and not annotation.named else None
    if kind == "symbol" or is_date:
        annotations.bad(annotation, f"`@[{key}]` names the {which} value of a number; `{attribute.name}` is a "
                        f"{_sort(kind, is_date)}", f"leave it out, or declare `{attribute.name}` as a number")
    elif isinstance(value, str) or value is None:
        annotations.bad(annotation, f"`@[{key}]` names one number", f"write `@[{key}(1)]`")
    elif kind == "number" and not isinstance(value, int):
        annotations.bad(annotation, f"`{attribute.name}` is a whole number, and {exactly(value)} is none",
                        f"write a whole number, or declare `{attribute.name}: float`")
    else:
        return value
    return None


def _one_of(
    annotations: _Reader, attribute: tree.AttributeDeclaration, kind: str
) -> tuple[tree.Value, ...] | None:
    annotation = annotations.find("one_of")
    if annotation is None:
        return None
    values = tuple(Fraction(value) if kind == "float" and isinstance(value, int) else value
                   for value in annotation.positional)
    kinds = {"number", "float"} if kind == "float" else {kind}
    if not values or annotation.named or any(_kind_of(value) not in kinds for value in values):
        annotations.bad(annotation, f"`@[one_of]` lists values of `{attribute.name}`, each a {kind}",
                        'write `@[one_of("first", "second")]`')
    elif len(set(values)) < len(values):
        annotations.bad(annotation, f"`@[one_of]` lists a value of `{attribute.name}` twice", "leave one out")
    return values


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
    return {int: "number", Fraction: "float", str: "symbol"}[type(value)]


def read_rule_annotations(
    rule: tree.Rule, number: int, relations: dict[str, Relation], phases: list[str], report: Report
) -> Rule:
    """A rule with one head, with what its annotations say."""
    head = rule.heads[0]
    annotations = _Reader(rule.annotations, _ON_RULES, "a rule", report)
    is_case = relations[head.relation].is_case
    possible = None
    annotation = annotations.find("possible")
    if annotation is not None:
        words = annotations.texts(annotation, 0, 3, '@[possible("judgement", relation, "question")]')
        relation, question = (words[place] if len(words) > place else None for place in (1, 2))
        possible = Possible(words[0] if words else "judgement", relation, question)
        if not is_case or not rule.body:
            annotations.bad(annotation, "only a rule about a case can make its head possible", "leave it out")
        if relation is not None and relation not in relations:
            report(Kind.UNKNOWN_RELATION, annotation.span, f"`{relation}` is not declared",
                   did_you_mean(relation, relations) or "name the relation to ask about")
        if question is not None and not _NAME.fullmatch(question):
            annotations.bad(annotation, f"`{question}` is no name of a question: it has letters, digits and `_`",
                            'write a name such as `"brand_was_generic"`; the question itself is the doc comment')
        if not rule.doc:
            annotations.bad(annotation, "what would settle a possible rule is its doc comment",
                            "write `/// what would settle it` above")
    return Rule(
        number, head, rule.body, rule.span, rule.doc, possible, _criteria(annotations, is_case, phases, report),
        _says(rule, report),
    )


def _says(rule: tree.Rule, report: Report) -> str:
    """The sentence of a body. Reported: a place that stands for no variable of it."""
    if rule.says is None:
        return ""
    names = sorted({name for literal in rule.body for name in tree.names_outside_aggregates(literal)})
    counts = [one for literal in rule.body for one in tree.aggregates(literal) if one.function == "count"]
    for place in _PLACE.findall(rule.says.text):
        if place == "count" and len(counts) != 1:
            report(Kind.UNBOUND_VARIABLE, rule.says.span, "the sentence names `{count}`, and the body has "
                   f"{'no count' if not counts else 'several counts'}", "leave it out")
        elif place not in (*names, "count"):
            report(Kind.UNBOUND_VARIABLE, rule.says.span, f"the sentence names `{{{place}}}`, no variable of the body",
                   did_you_mean(place, names) or f"its variables are {listed(names, 'and')}")
    return rule.says.text


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
