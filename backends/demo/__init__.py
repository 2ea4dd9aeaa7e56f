"""An embedded cluster of real SSH servers on loopback, with real processes to upgrade.

The other end of the connection. Nothing in here drives an upgrade, is imported by the program
outside the wiring, listens beyond loopback, or leaves anything behind.
"""
