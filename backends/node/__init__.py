"""The updater: the only thing that changes a node, packed into one file and sent there.

Python 3.6 or newer, standard library only; nothing in here imports anything outside of here.
"""
