"""How a key is named to a person, and which valid key was probably meant."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from backends.settings.toml_lines import Place


def label(place: Place, data: Mapping[str, Any]) -> str:
    """A key as a person finds it: `[policy] pause`, `[nodes] n1.port`, `[[health]] kind`."""
    if not place:
        return "the file"
    table, *rest = place
    value = data.get(str(table))
    names = [str(each) for each in rest]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        head = f"[[{table}]]"
        names = names[1:]
    elif isinstance(value, dict) or rest:
        head = f"[{table}]"
    elif table in data:
        return str(table)
    else:
        head = f"[{table}]"
    return f"{head} {'.'.join(names)}".rstrip()


def unknown_key(place: Place, data: Mapping[str, Any], model: type[BaseModel]) -> str:
    """What to say about a key that the model does not have.

    The nearest key of the same table; else the table in which a key of this name is valid;
    else all valid keys.
    """
    name = str(place[-1])
    here = _model_at(model, place[:-1])
    valid = sorted(_keys(here)) if here else []
    is_table = len(place) == 1 and isinstance(data.get(name), dict | list)
    text = f"unknown {'table' if is_table else 'key'} {label(place, data)}"
    near = nearest(name, valid)
    if near:
        return f"{text}; did you mean {f'[{near}]' if is_table else near}?"
    homes = [table for table, keys in _tables(model) if name in keys]
    if homes and not is_table:
        return f"{text}; it belongs in {' or '.join(homes)}"
    return f"{text}; valid here: {', '.join(valid)}"


def nearest(word: str, valid: list[str]) -> str | None:
    """The valid word that was probably meant, if any is near enough."""
    found = get_close_matches(word.lower().replace("-", "_"), valid, n=1, cutoff=0.6)
    return found[0] if found else None


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, info in model.model_fields.items():
        yield info.alias or name


def _tables(model: type[BaseModel]) -> Iterator[tuple[str, list[str]]]:
    for name in _keys(model):
        inner = _model_at(model, (name,))
        if inner is not None:
            yield f"[{name}]", list(_keys(inner))
            continue
        inner = _model_at(model, (name, 0))
        if inner is not None:
            yield f"[[{name}]]", list(_keys(inner))


def _model_at(model: type[BaseModel], place: Place) -> type[BaseModel] | None:
    """The model of the table at a place, following tables, mappings and lists."""
    current: Any = model
    for part in place:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = _field(current, str(part))
        else:
            current = _element(current)
        current = _bare(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _field(model: type[BaseModel], key: str) -> Any:
    for name, info in model.model_fields.items():
        if key in (info.alias, name):
            return info.annotation
    return None


def _element(kind: Any) -> Any:
    """What a list, tuple or mapping holds."""
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return arguments[1]
    return arguments[0] if get_origin(kind) in (list, tuple) else None


def _bare(kind: Any) -> Any:
    """Without `Annotated` and without `| None`."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    arguments = [each for each in get_args(kind) if each is not type(None)]
    is_optional = type(None) in get_args(kind)
    return _bare(arguments[0]) if is_optional and len(arguments) == 1 else kind
