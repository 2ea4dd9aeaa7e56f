"""What the screens are drawn with: attributes down, messages up.

Textual and backends.domain only. A widget shows the values it is given. It never asks for them,
never waits for a node, never acts on one, and takes no text from a node for markup.
"""
