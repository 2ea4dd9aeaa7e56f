"""Between the screen's thread and the engine's: commands go down, news come up, questions wait.

Only immutable values cross. Nothing in here draws, and nothing in here decides for a person.
"""
