"""Where in a TOML text each key stands: line numbers that `tomllib` does not give.

The text must already have been accepted by `tomllib`; this scanner only follows its shape.
"""

import re
import tomllib

Place = tuple[str | int, ...]
"""A key's path from the top; an int counts the tables of an array of tables, or list items."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}#\n]*")


def locate(text: str) -> dict[Place, int]:
    """The line (from 1) of every table, key and list item."""
    scan = _Scan(text)
    scan.document()
    return scan.lines


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Place, int] = {}
        self._counts: dict[Place, int] = {}
        self._line = 1
        self._line_at = 0

    def document(self) -> None:
        """Follow headers and assignments to the end."""
        table: Place = ()
        while self._skip() < len(self.text):
            if self._next() == "[":
                table = self._header()
            else:
                self._assignment(table)

    def _next(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip(self) -> int:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def _note(self, place: Place) -> None:
        self._line += self.text.count("\n", self._line_at, self.at)
        self._line_at = self.at
        self.lines.setdefault(place, self._line)

    def _header(self) -> Place:
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        self._skip()
        start = self.at
        keys = self._keys()
        end, self.at = self.at, start
        place: Place = ()
        for position, key in enumerate(keys, 1):
            place = (*place, key)
            if place in self._counts and not (is_array and position == len(keys)):
                place = (*place, self._counts[place] - 1)  # the array's latest table
        if is_array:
            index = self._counts.get(place, 0)
            self._counts[place] = index + 1
            self._note(place)
            place = (*place, index)
        for length in range(1, len(place) + 1):
            self._note(place[:length])
        self.at = end
        self._skip()
        self.at += 2 if is_array else 1
        return place

    def _keys(self) -> tuple[str, ...]:
        found: list[str] = []
        while True:
            self._skip()
            match = _STRING.match(self.text, self.at) or _BARE.match(self.text, self.at)
            if match is None:
                return tuple(found)
            self.at = match.end()
            word = match[0]
            found.append(_unquoted(word) if word[0] in "\"'" else word)
            self._skip()
            if self._next() != ".":
                return tuple(found)
            self.at += 1

    def _assignment(self, table: Place) -> None:
        start = self.at
        keys = self._keys()
        end, self.at = self.at, start
        for length in range(1, len(keys) + 1):
            self._note((*table, *keys[:length]))
        self.at = end
        self._skip()
        if self._next() == "=":
            self.at += 1
        elif self.at == start:
            self.at += 1  # cannot happen in valid TOML; never loop
        self._value((*table, *keys))

    def _value(self, place: Place) -> None:
        self._skip()
        opening = self._next()
        if opening == "{":
            self._items(place, "}")
        elif opening == "[":
            self._items(place, "]")
        else:
            match = _STRING.match(self.text, self.at) or _SCALAR.match(self.text, self.at)
            self.at = match.end() if match else len(self.text)

    def _items(self, place: Place, closing: str) -> None:
        self.at += 1
        index = 0
        while self._skip() < len(self.text) and self._next() != closing:
            if self._next() == ",":
                self.at += 1
            elif closing == "}":
                self._assignment(place)
            else:
                self._note((*place, index))
                self._value((*place, index))
                index += 1
        self.at += 1


def _unquoted(word: str) -> str:
    if word[0] == "'":
        return word[1:-1]
    return str(tomllib.loads(f"key = {word}")["key"])
