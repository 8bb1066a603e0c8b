"""Random programs without cases: negation, comparisons, arithmetic, aggregates inside aggregates, recursion.

What comes out is text that may be refused: a generator that only wrote safe rules would never try the others.
"""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")


def plain_programs() -> st.SearchStrategy[str]:
    """A rule file: input relations `e0` to `e2` with facts, derived ones `d0`, `d1`, ... over those before them.

    It is written from one number: a program is too long to be drawn word by word in a quick test.
    """
    return st.integers(0, 2**32).map(lambda seed: _Writer(Random(seed)).program())


class _Writer:
    def __init__(self, random: Random):
        self.random = random
        self.arities: dict[str, int] = {}
        self.lines: list[str] = []

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def declare(self, name: str, arity: int) -> None:
        self.arities[name] = arity
        self.lines.append(f".decl {name}({', '.join(f'a{n}: number' for n in range(arity))})")

    def program(self) -> str:
        for number in range(3):
            self.declare(f"e{number}", self.random.randint(1, 3))
            for _ in range(self.random.randint(0, 5)):
                row = (str(self.random.randint(0, 3)) for _ in range(self.arities[f"e{number}"]))
                self.lines.append(f"e{number}({', '.join(row)}).")
        for number in range(self.random.randint(1, 4)):
            name, arity = f"d{number}", self.random.randint(0, 2)
            is_recursive = self.chance(0.3)
            if is_recursive:
                self.declare(name, arity)
            rules = [self.rule(name, arity) for _ in range(self.random.randint(1, 3))]
            if not is_recursive:
                self.declare(name, arity)
            self.lines += rules
        return "\n".join(self.lines) + "\n"

    def rule(self, name: str, arity: int) -> str:
        literals, bound = self.body([], list("xyzw"), depth=2)
        head = (self.random.choice([*bound, "7"]) for _ in range(arity))
        return f"{name}({', '.join(head)}) :- {', '.join(literals)}."

    def atom(self, bound: list[str], new: list[str]) -> tuple[str, list[str]]:
        name = self.random.choice(list(self.arities))
        arguments = []
        for _ in range(self.arities[name]):
            if self.chance(0.15):
                arguments.append("_")
            elif self.chance(0.15):
                arguments.append(str(self.random.randint(0, 3)))
            elif bound and self.chance(0.05):
                arguments.append(f"{self.random.choice(bound)} + {self.random.randint(0, 1)}")
            else:
                arguments.append(self.random.choice([*bound, *new] or ["_"]))
        return f"{name}({', '.join(arguments)})", [argument for argument in arguments if argument in new]

    def body(self, outer: list[str], new: list[str], depth: int) -> tuple[list[str], list[str]]:
        """Literals in any order, and the variables that may be bound by them or were bound outside."""
        literals: list[str] = []
        bound = list(outer)
        for _ in range(self.random.randint(1, 2)):
            atom, names = self.atom(bound, new)
            literals.append(atom)
            bound += (name for name in names if name not in bound)
        if bound and self.chance(0.4):
            left, right = self.random.choice(bound), self.random.choice([*bound, "1", "2"])
            literals.append(f"{left} {self.random.choice(COMPARISONS)} {right}")
        if self.chance(0.4):
            literals.append(f"!{self.atom(bound, [])[0]}")
        if depth and self.chance(0.5):
            self.aggregate(literals, bound, depth)
        self.random.shuffle(literals)
        return literals, bound

    def aggregate(self, literals: list[str], bound: list[str], depth: int) -> None:
        own = [f"u{depth}", f"v{depth}"]
        body, inside = self.body(bound, own, depth - 1)
        targets = [name for name in inside if name in own]
        function = self.random.choice(["count", "sum", "min", "max"]) if targets else "count"
        target = "" if function == "count" else f" {self.random.choice(targets)}{self.random.choice(['', ' + 1'])}"
        written = f"{function}{target} : {{ {', '.join(body)} }}"
        if self.chance(0.5):
            literals.append(f"n{depth} = {written}")
            bound.append(f"n{depth}")
        else:
            literals.append(f"{self.random.choice([*bound, '1'])} {self.random.choice(COMPARISONS)} {written}")
