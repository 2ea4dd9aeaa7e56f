"""How to reach a node: one port, and the links that answer at it.

Connections, host keys, and the packing of the updater into one file. What comes back is bytes
turned into immutable values. Nothing in here knows a phase, decides anything about an upgrade, or
tries again what might have happened: an answer that did not come is unknown, never a success.
"""
