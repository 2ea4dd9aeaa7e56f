"""What the operator runs: the cluster on screen and on the command line.

Two faces of one engine. Commands, screens, keys, colours, and the one place that chooses how nodes
are reached. Nothing in here decides what an upgrade does next, speaks SSH, or keeps a fact about a
node: it shows what backends says and sends back what a person wants. Nobody imports it.
"""
