"""Nodes made of memory: named scenes for tests, pictures and scale.

They answer at the link port, in the words of the wire, as the updater would. Nothing in here opens
a connection, starts a process, reads a real clock, or knows the engine that speaks to it.
"""
