"""A service that is one line in a file: started and stopped in no time, strict as a real one."""

import os
from typing import Any

from backends.node import layouts, places, service
from backends.node.layout import Layout


class Ledger(service.Service):
    """A service whose process is a line in a file; it starts only what is selected and whole."""

    @property
    def _book(self) -> str:
        return self.values["book"]

    def _runs(self) -> bool:
        with open(self._book) as stream:
            return stream.read() == self.version

    def _say(self, version: str) -> None:
        with open(self._book, "w") as stream:
            stream.write(version)

    def status(self) -> tuple[str, str]:
        """What the book says."""
        return ("started", "in the book") if self._runs() else ("stopped", "not in the book")

    def pid(self) -> int | None:
        """Our parent lives for the whole test."""
        return os.getppid() if self._runs() else None

    def living(self) -> list[int]:
        """As above."""
        return [os.getppid()] if self._runs() else []

    def denies(self, start_id: str | None) -> bool:
        """Never: what stands for its process lives on when it is stopped."""
        return False

    def definition_place(self) -> str:
        """A file beside the book."""
        return self.values["unit"]

    def is_enabled(self) -> bool:
        """Whether the mark is there."""
        return os.path.exists(self.values["unit"] + ".enabled")

    def set_enabled(self, enabled: bool) -> str:
        """Put the mark there, or take it away."""
        mark = self.values["unit"] + ".enabled"
        if enabled:
            with open(mark, "w"):
                pass
        elif os.path.exists(mark):
            os.unlink(mark)
        return "marked" if enabled else "not marked"

    def stop(self) -> tuple[bool, str]:
        """Close the book."""
        if self._runs():
            self._say("")
        return True, "stopped"

    def start(self, output_file: str) -> tuple[bool, str]:
        """Open it, if the pointer says so and the tree is that version's."""
        layout = layouts.layout_of(self._document, self.places)
        selected = layout.selected()
        inner = "inputs" if self._document["layout"] == "swap" else ""
        with open(os.path.join(self.tree, inner, "VERSION")) as stream:
            if selected != self.version or stream.read().strip() != self.version:
                return False, f"the pointer names {selected}"
        if not self._is_defined():
            return False, "it has another definition, or is not enabled"
        self._say(self.version)
        if self.version == "2.0":
            self._write_in_place(layout)
            if self._document["data"]["directories"]:
                self._convert_data()
        return True, "started"

    def _is_defined(self) -> bool:
        """Whether its own definition is in place and enabled, where it has one."""
        if not self.settings["definition"]:
            return True
        with open(self.values["unit"]) as stream:
            return stream.read() == f"unit {self.version[0]}\n" and self.is_enabled()

    def _convert_data(self) -> None:
        with open(self.values["table"], "w") as stream:
            stream.write("format 2\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _write_in_place(self, layout: Layout) -> None:
        """It writes into what lives on, as services do: on the way back that is gone."""
        for relative in self._written:
            path = os.path.join(self.tree, relative)
            if layout.is_kept(relative) and os.path.exists(path):
                with open(path, "a") as stream:
                    stream.write("written by 2.0\n")
                    stream.flush()
                    os.fsync(stream.fileno())

    _written = ("etc/kept.conf", "inputs/etc/kept.conf")

    def __init__(self, document: dict[str, Any], where: places.Places, version: str) -> None:
        super().__init__(document, where, version)
        self._document = document
