"""What the operator wrote down: cluster files, and where such files live.

Text enters here and leaves as immutable values. Every mistake is reported with file, line,
key and, for a misspelt key, the nearest valid one.
"""
