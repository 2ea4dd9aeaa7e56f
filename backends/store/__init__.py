"""What was done: the run history and the operator's journal, in SQLite.

Append-only: a record is durable before the act it announces. Nothing in here decides, contacts a
node, or stores what can be computed from the records.
"""
