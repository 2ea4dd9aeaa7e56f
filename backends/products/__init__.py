"""What is known about a product: where its versions lie, how it is asked, what healthy is.

Data, not code: a profile is a TOML file. It may build on `backends.settings`, never the other
way round.
"""
