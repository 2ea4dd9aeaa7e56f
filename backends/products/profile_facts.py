"""How a value of a product is read on a node: a profile's `[facts]`, `[leader]`, `[values]`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from backends.products.profile_fields import Command, FieldName, Url, absolute, pattern_text
from backends.products.template import Template
from backends.settings.fields import Deadline, SafeName, Table, Text
from backends.settings.toml_file import at


class FactTable(Table):
    """One entry of `[facts]`: how a product's own word is read, in one of three ways."""

    http: Url | None = None
    """Asked on the node; the answer is JSON."""

    field: FieldName | None = None
    """With `http`, the value in its answer; dots lead into objects."""

    command: Command | None = None
    """Run on the node in the version's tree; what it prints counts."""

    pattern: Annotated[Text, AfterValidator(pattern_text)] | None = None
    """What to take of the output or the file: the group, else the whole match; default: all."""

    file: Annotated[Template, AfterValidator(absolute)] | None = None
    """A file on the node that holds it."""

    @model_validator(mode="after")
    def _one_way(self) -> "FactTable":
        ways = [way for way in ("http", "command", "file") if getattr(self, way) is not None]
        if len(ways) != 1:
            raise at((), "needs exactly one of http, command, file")
        if (self.field is not None) != (ways == ["http"]):
            raise at(("field",), "and http go together")
        if self.pattern is not None and ways == ["http"]:
            raise at(("pattern",), "goes with command or file")
        return self


class LeaderTable(FactTable):
    """`[leader]`: which node leads the others; it is upgraded last of its role."""

    equals: Template = "{node}"
    """What the product says on the node that leads."""

    move: Command | None = None
    """Run on the node that leads before it is stopped; believed when it says so no more."""

    timeout: Deadline = 60.0
    """For the move, until another node leads."""


class ClusterCheckTable(Table):
    """One `[[cluster_health]]`: what has to hold of the whole cluster at every gate."""

    name: SafeName
    """What it is called in gates and journals, after "cluster"."""

    command: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """Run here, beside Liftlock: 0 is a yes, 21 is "not yet", anything else a no."""

    value: SafeName | None = None
    """Instead of a command: the name of a value under `[values]`, asked of a node."""

    node: SafeName | None = None
    """The node that is asked; default: the first one that answers."""

    equals: Text | None = None
    """What the value has to be."""

    timeout: Deadline = 20.0
    """For one answer."""

    @model_validator(mode="after")
    def _one_way(self) -> "ClusterCheckTable":
        if (self.command is None) == (self.value is None):
            raise at((), "needs exactly one of command, value")
        if (self.value is None) != (self.equals is None):
            raise at(("equals",), "and value go together")
        if self.node is not None and self.value is None:
            raise at(("node",), "goes with value")
        return self


class NoReturnTable(Table):
    """`[no_return]`: from where on an upgrade cannot be taken back."""

    when: Literal["first", "majority", "last"]
    """The node that crosses it: the first one on the new version, the one by which more than
    half are, or the last one. The run always waits for a person before it."""

    text: Text
    """What cannot be taken back any more, in words for the operator."""


class FactsTable(Table):
    """`[facts]`"""

    version: FactTable | None = None
    """The version that runs, by the product's own word."""
