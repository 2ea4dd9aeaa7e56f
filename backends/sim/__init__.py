"""Nodes made of memory: named scenes for tests, pictures and scale.

They answer at the link port, in the words of the wire, as the updater would. Nothing in here opens
a connection, starts a process, asks what time it really is, or knows the engine that speaks to it.

    clock, routine             time that is told, and what goes on by itself in it
    node, content, behaviour   what lies on a node, what runs there, how it behaves
    records, opened            a transaction's journal, and who writes into it
    driver, trial, undoing     what drives an upgrade forward and back
    link, updater, call        the way in, one run of the updater, one request
    commands and the rest      what can be asked: facts, checks, staging, looking, keeping
    cluster, scenes            many nodes, and the situations they are brought into
"""
