"""Decide, explain and prove whether a case meets a coverage policy written as Datalog rules.

    >>> import policy_kb
    >>> policy = policy_kb.load_policy("09-J2000-27")
    >>> policy.decide("case.yaml").decision
    'needs information'

The names below are the front door; the stages behind them are the packages `parse`, `check`, `load`, `evaluate`,
`explain` and `report`, in this order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policy_kb.diagnostics import CaseRefused, Diagnostic, Refused, RulesRefused
    from policy_kb.load.documents import Document, read_documents
    from policy_kb.policies import Policies, Policy, load_policy
    from policy_kb.report.determination import Determination

__version__ = "0.2.0"

_HOMES = {
    "CaseRefused": "policy_kb.diagnostics",
    "Determination": "policy_kb.report.determination",
    "Diagnostic": "policy_kb.diagnostics",
    "Document": "policy_kb.load.documents",
    "Policies": "policy_kb.policies",
    "Policy": "policy_kb.policies",
    "Refused": "policy_kb.diagnostics",
    "RulesRefused": "policy_kb.diagnostics",
    "load_policy": "policy_kb.policies",
    "read_documents": "policy_kb.load.documents",
}

__all__ = [
    "CaseRefused",
    "Determination",
    "Diagnostic",
    "Document",
    "Policies",
    "Policy",
    "Refused",
    "RulesRefused",
    "__version__",
    "load_policy",
    "read_documents",
]


def __getattr__(name: str) -> Any:
    """Imports a name when it is first used: starting a command imports no more than the command needs."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
