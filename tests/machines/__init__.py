"""Machines with PID 1, network and disk of their own, made of namespaces; and their drills."""
