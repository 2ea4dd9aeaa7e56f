"""What an operator's commands do, whichever face they were given to: in the book first, then done.

Runs in the engine's thread. Nothing in here prints, draws or knows who asked; what a person has to
agree to is asked through what was handed in. Screen and command line are two faces of this.
"""
