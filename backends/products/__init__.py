"""What is known about a product: where its versions lie, how it is asked, what healthy is.

Data, not code: a profile is a TOML file. It is read as settings are; what a
cluster and its nodes are, products know only as far as they use it.
"""
