"""The work: what a node is, how to reach it, how to upgrade it and how to get back.

Nothing in here draws, and nothing in here knows that a terminal exists. Everything in
here can be used from a script, a test or a timer.

    domain      what things are                      (pure)
    settings    what the operator wrote down         (files)
    products    what is known about a product        (data)
    releases    one version as a tarball + manifest
    transport   how to reach a node
    engine      how an upgrade proceeds              (journal first, then act)
    store       what was done                        (SQLite)
    node        the updater: runs on the node        (Python 3.6, standard library)
    demo        an embedded cluster of real nodes
    sim         nodes made of memory
"""
