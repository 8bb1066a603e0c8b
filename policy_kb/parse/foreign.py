"""What other languages write, and what is written here instead: for hints that can be followed to the letter."""

from __future__ import annotations

from collections.abc import Sequence

from lark import Token

_AVERAGE = "divide a sum by a count: `to_float(sum x : { r(x) }) / count : { r(_) }`"
_RULES = "write one rule for each alternative, with the same head"
_COMMA = "write `,` between the literals of a body"
_NOT = "write `!` before an atom, such as `!relapse(case, _)`, or the opposite comparison"
_ROUNDED = 'write `.include "vocabulary/numbers.dl"` above, and `@{}(x, 0)`'
_LATER = "write the condition behind `:-`: `head(x) :- body(x).`"
_FIRST = "write the conclusion first: `head(x) :- body(x).`"
_RECEIVED = "a decision rests on the day the request was received: `request(case, _, _, received)`"
_ABSENT = "an absent record is asked for as one: `!relapse(case, _)`"

FUNCTIONS = {
    **dict.fromkeys(("avg", "average", "mean"), _AVERAGE),
    "round": _ROUNDED.format("rounded"),
    **dict.fromkeys(("ceil", "ceiling", "roundup"), _ROUNDED.format("rounded_up")),
    **dict.fromkeys(("floor", "rounddown"), _ROUNDED.format("rounded_down")),
    **dict.fromkeys(("int", "integer", "trunc", "truncate"),
                    "write `to_number(...)`, which cuts what is behind the point"),
    **dict.fromkeys(("float", "decimal", "real"), "write `to_float(...)`"),
    **dict.fromkeys(("str", "string", "text"), "write `to_string(...)`"),
    "abs": "write `max(x, -x)`",
    **dict.fromkeys(("sqrt", "pow", "power", "exp", "log"), "compare products: `x * x >= y`"),
    "mod": "write `x % y`",
    **dict.fromkeys(("len", "length"), "write `strlen(...)`, or `count : { ... }` for rows"),
    **dict.fromkeys(("concat", "join"), 'write `cat("...", x)`'),
    "substring": "write `substr(text, first, length)`, which counts from 0",
    **dict.fromkeys(("upper", "lower", "ucase", "lcase", "toupper", "tolower"),
                    "declare the attribute `@[any_case]`: then it is compared without letter case"),
    **dict.fromkeys(("matches", "regex", "regexp", "regexp_matches"), 'write `match("pattern", text)`'),
    **dict.fromkeys(("startswith", "starts_with"), 'write `match("beginning.*", text)`'),
    **dict.fromkeys(("endswith", "ends_with"), 'write `match(".*end", text)`'),
    **dict.fromkeys(("today", "now", "current_date", "sysdate", "getdate"), _RECEIVED),
    **dict.fromkeys(("datediff", "date_diff", "days_between"), "subtract the earlier date: `last - first` is in days"),
    **dict.fromkeys(("months_between", "years_between", "months_before", "months_after", "year", "date", "written",
                     "rounded", "rounded_up", "rounded_down"), "write `@` before the name of a functor"),
    **dict.fromkeys(("dateadd", "date_add", "add_months"), "write `@months_after(day, 3)`, or `day + 30`"),
    "exists": "write the atom itself, or `count : { ... } >= 1`",
    **dict.fromkeys(("coalesce", "ifnull", "isnull", "is_null", "nvl"), _ABSENT),
    **dict.fromkeys(("not", "naf"), _NOT),
    **dict.fromkeys(("if", "iif", "case_when", "cond"), _RULES),
    **dict.fromkeys(("and", "all"), _COMMA),
    **dict.fromkeys(("or", "any"), _RULES),
}
"""Functions, and what to write for them."""

_BETWEEN = {
    **dict.fromkeys(("and", "with"), _COMMA),
    **dict.fromkeys(("or", "xor", "else", "elif"), _RULES),
    **dict.fromkeys(("if", "when", "where", "iff", "given", "provided"), _LATER),
    **dict.fromkeys(("then", "implies"), _FIRST),
    **dict.fromkeys(("is", "eq", "equals", "equal"),
                    f"write `=`, or `!=` for its opposite; {_ABSENT}"),
    **dict.fromkeys(("ne", "neq"), "write `!=`"),
    **dict.fromkeys(("in", "within"), "state the values as facts of a relation, and write its atom: `listed(x)`"),
    "between": "write both comparisons: `x >= 1, x <= 5`",
    "like": 'write `contains("part", text)` or `match("pattern", text)`',
    **dict.fromkeys(("matches", "match", "rlike", "regexp"), 'write `match("pattern", text)`'),
    "contains": 'write `contains("part", text)`',
    "not": _NOT,
    **dict.fromkeys(("mod", "div"), "write `x % y` or `x / y`"),
}
"""Words that stand behind a literal or a value."""

_SIGNS = {
    "->": _FIRST, "==": "write `=`", "<>": "write `!=`", "=<": "write `<=`", "=>": "write `>=`", "=!": "write `!=`",
    "~=": "write `!=`", "===": "write `=`", "!==": "write `!=`", "<-": "write `:-`", "<=>": "write `=`",
    ":=": "write `:-` behind a head, `=` in a comparison", "**": "multiply: `x * x`", "++": "write `x + 1`",
    "\\=": "write `!=`", "\\+": _NOT, "&&": _COMMA, "&": _COMMA, "||": _RULES, "::=": "write `:-`",
}  # fmt: skip
_QUOTES = "'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_ALONE = {
    "\u2264": "write `<=`", "\u2265": "write `>=`", "\u2260": "write `!=`",
    "\u00d7": "write `*`", "\u00f7": "write `/`",
    "\u2212": "write `-`", "\u2013": "write `-`", "\u2014": "write `-`", "\u2227": _COMMA, "\u2228": _RULES,
    "\u00ac": _NOT, "~": _NOT, "\\": _NOT, "\u2192": _FIRST,
    "?": _RULES,
}  # fmt: skip
_AGGREGATES = ("count", "sum", "min", "max")
_WORDS = (
    *_AGGREGATES, "true", "false", "contains", "match", "cat", "strlen", "substr", "to_string", "to_number", "to_float",
)
_BEFORE = {
    **dict.fromkeys(("not", "naf"), _NOT),
    **dict.fromkeys(("if", "when", "where"), _LATER),
    **dict.fromkeys(("exists", "some", "any"), FUNCTIONS["exists"]),
    **dict.fromkeys(("forall", "every", "all"), "write that there is none without it: `!one_without(case, _)`"),
    **dict.fromkeys(("avg", "average", "mean"), _AVERAGE),
}
"""Words that stand before a literal or a value."""
_DIRECTIVES = ("decl", "type", "input", "output", "include", "functor")


def instead_of_sign(sign: str) -> str | None:
    """What to write instead of a sign that has no meaning here."""
    if sign in _QUOTES:
        return 'write text in double quotes: `"..."`'
    return _ALONE.get(sign) or _SIGNS.get(sign)


def instead_of_atom(name: str) -> str | None:
    """What to write instead of an atom that is none."""
    if name.casefold() in _WORDS:
        return f"write `{name.casefold()}`, in lower case"
    return FUNCTIONS.get(name.casefold())


def instead_of(token: Token, before: Sequence[Token], rest: str) -> tuple[Token, str, str] | None:
    """What other languages mean by a token that has no place behind the tokens `before`: the token to blame, how it is
    written and what to write. `rest` is the text from the token on."""
    last = before[-1] if before else None
    word = token.casefold()
    found = _sign(token, last, rest) or _directive(token, last, rest)
    if found is not None:
        return found
    if last is not None and last.type == "IDENT":
        name = last.casefold()
        if token == "(" and name in FUNCTIONS:
            return last, last, FUNCTIONS[name]
        if name in _WORDS and name != last:
            return last, last, f"write `{name}`, in lower case"
        if name in _BEFORE and (token.type == "IDENT" or token == "("):
            return last, last, _BEFORE[name]
        if token == "(" and len(before) > 2 and before[-2] == "(" and before[-3].casefold() in ("not", "exists"):
            return before[-3], before[-3], FUNCTIONS[before[-3].casefold()]
    if last == "," and token == ".":
        return last, ",.", "leave the comma out"
    aggregate = _aggregate(before, token)
    if aggregate is not None:
        return aggregate, aggregate, f"write `{aggregate}{'' if aggregate == 'count' else ' x'} : {{ r(x) }}`"
    if last is not None and (token.type in ("IDENT", "CONTAINS", "MATCH")) and word in _BETWEEN:
        return token, token, _BETWEEN[word]
    if last == ")" and token.type in ("COMPARED", "EQUAL", "PLUS", "MINUS", "TIMES", "DIVIDED", "MODULO"):
        called = _called(before)
        if called is not None and called.casefold() in FUNCTIONS:
            return called, called, FUNCTIONS[called.casefold()]
    return None


def _aggregate(before: Sequence[Token], token: Token) -> Token | None:
    """An aggregate without a colon: `count(r(x))`, `sum { r(x) }`."""
    last = before[-1] if before else None
    if last is not None and last in _AGGREGATES and token in ("(", "{"):
        return last
    inside = len(before) > 2 and before[-2] == "(" and token == "("
    if inside and before[-3] in _AGGREGATES:
        return before[-3]
    if last == ")" and token.type in ("COMPARED", "EQUAL", "COMMA", "DOT"):
        called = _called(before, "SUM", "MIN", "MAX", "COUNT")
        return called if called is not None and called in ("sum", "count") else None
    return None


def _sign(token: Token, last: Token | None, rest: str) -> tuple[Token, str, str] | None:
    """A sign of two or three characters, of which the second has no place here, or the first has not."""
    if last is not None and last.end_pos == token.start_pos:
        for sign in (f"{last}{rest[:2]}", f"{last}{rest[:1]}"):
            if sign in _SIGNS:
                return last, sign, _SIGNS[sign]
    whole = next((sign for sign in (rest[:3], rest[:2]) if sign in _SIGNS), None)
    if whole is not None:
        return token, whole, _SIGNS[whole]
    if last is None and token in ("%", "-", "*"):
        return token, token, "write `//` for a comment"
    return None


def _directive(token: Token, last: Token | None, rest: str) -> tuple[Token, str, str] | None:
    if token != "." or last is not None:
        return None
    written = rest[1:].partition(" ")[0]
    word = written.casefold()
    known = next((one for one in _DIRECTIVES if one[:4] == word[:4]), None)
    return None if known is None else (Token("DIRECTIVE", ".", line=token.line, column=token.column), f".{written}",
                                       f"write `.{known}`")


def _called(before: Sequence[Token], *types: str) -> Token | None:
    """The name before the brackets that the tokens end with."""
    depth = 0
    for place in range(len(before) - 1, 0, -1):
        depth += (before[place] == ")") - (before[place] == "(")
        if not depth:
            return before[place - 1] if before[place - 1].type in (types or ("IDENT",)) else None
    return None
