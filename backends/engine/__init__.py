"""How an upgrade proceeds: plan, gates, locks, conductor, stop rule.

Journal first, then act. Nothing in here knows which link it holds, draws, asks a terminal, or
waits by a clock that a test cannot hold still. What a node says about itself always replaces what
was remembered, and what it does not say is unknown.
"""
