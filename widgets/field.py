"""A line to type into."""

from textual.widgets import Input

from widgets.cells import Cell


class Field(Input):
    """What is typed or pasted is shown as what it is: nothing in it moves the cursor.

    Of a secret, of which no letter is shown, nothing is changed.
    """

    def validate_value(self, value: str) -> str:
        return value if self.password else Cell(value).text
