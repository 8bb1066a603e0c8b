"""An independent audit of determinations: no engine, no explainer, and nothing they keep.

`determination` checks every field of a determination against the rule files and the case, `log` the chain of a log.

What the audit trusts, and does not check: that the rule files and the case are read as they stand (`parse`, `check`,
`load`), what expressions and dates mean (`expressions`, `dates`), and the words of sentences, questions and reasons
(`explain.written`, `report.wording`), on which nothing depends. All else is worked out here a second time: what is
known (`known`), what is certain, possible and open of a case (`statuses`), how that is explained (`proofs`), and what
can still change it (`questions`).
"""
