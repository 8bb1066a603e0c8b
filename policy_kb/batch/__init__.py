"""Many cases at once: the same answers as one by one, computed by a database."""

from __future__ import annotations


def needs_duckdb() -> None:
    """Refuse where DuckDB, which is an extra, is not installed. Raises CaseRefused."""
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("duckdb", "msgspec", "numpy", "pyarrow")):
        from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
        from policy_kb.source import NOWHERE

        raise CaseRefused([Diagnostic(Kind.NOT_INSTALLED, NOWHERE, "this needs DuckDB, which is not installed",
                                      "install it: pip install 'policy-kb[duckdb]'")])
