"""What was done, told to people who were not there: pure values, made of the book alone.

Nothing in here contacts a node or knows more than what was written down. What was not is said to
be unknown; nothing is left out silently.
"""
