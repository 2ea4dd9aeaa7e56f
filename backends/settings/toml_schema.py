"""All keys of a kind of file as JSON Schema, made of the very models that read it.

What TOML can say is in it and nothing else: it has no null, durations and sizes are texts.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from backends.settings.units import format_duration

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Defaults = Mapping[tuple[str, str], Any]
"""(model, key) -> what counts where the file says nothing and the model has no value itself."""


def schema(model: type[BaseModel], title: str, defaults: Defaults) -> dict[str, Any]:
    """The schema of a file; every key has a description and, where there is one, its default."""
    found = model.model_json_schema(mode="validation")
    tables = {each.__name__: each for each in tables_of(model)}
    definitions = found.pop("$defs", {})
    for name, table in {model.__name__: found, **definitions}.items():
        _finish(table, tables[name], defaults)
    return {"$schema": DIALECT, **found, "title": title, "$defs": definitions}


def tables_of(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and each one below it, once."""
    seen: dict[type[BaseModel], None] = {}
    waiting: list[Any] = [model]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if kind not in seen:
                seen[kind] = None
                waiting += [info.annotation for info in kind.model_fields.values()]
        else:
            waiting += getattr(kind, "__args__", ())
    yield from seen


def described(model: type[BaseModel]) -> dict[str, str]:
    """What each key means: the text under it in the model, or in the one it comes from."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and kind.model_fields:
            found |= _texts(kind)
    return {key: found[key] for key in model.model_fields if key in found}


def _texts(kind: type[BaseModel]) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    body = getattr(tree, "body", [])
    texts: dict[str, str] = {}
    for each, after in pairwise(body):
        match each, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ):
                texts[name] = " ".join(text.split())
    return texts


def _finish(table: dict[str, Any], model: type[BaseModel], defaults: Defaults) -> None:
    texts = described(model)
    table.pop("title", None)
    for key, info in model.model_fields.items():
        name = info.alias or key
        was = table["properties"][name]
        new = _without_null(was)
        for word in ("title", "description"):
            new.pop(word, None)
        default = defaults.get((model.__name__, name), was.get("default"))
        new.pop("default", None)
        if "patternProperties" in new:
            new["additionalProperties"] = False
        if key in texts:
            new["description"] = texts[key]
        if default is not None and default != [] and not isinstance(default, dict):
            new["default"] = _as_written(default, new)
        table["properties"][name] = new


def _without_null(found: dict[str, Any]) -> dict[str, Any]:
    """`X or null` as X: what is not said is left out."""
    kinds = [each for each in found.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) != 1:
        return dict(found)
    rest = {key: value for key, value in found.items() if key != "anyOf"}
    return {**kinds[0], **rest}


def _as_written(value: Any, kind: Mapping[str, Any]) -> Any:
    """A default as somebody would write it."""
    if kind.get("type") == "string" and isinstance(value, int | float):
        return format_duration(value)
    return value
