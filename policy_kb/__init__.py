"""Decide, explain and prove whether a case meets a coverage policy written as Datalog rules."""
