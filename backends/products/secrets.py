"""The secrets that an operator has given to a product, word for word: they are kept nowhere."""

from collections.abc import Mapping

from backends.domain.redaction import sounds_secret
from backends.node.expand import ExpandError, expand


def secrets_of(document: Mapping[str, object]) -> set[str]:
    """The values of the service's environment and of the node's vars whose names sound secret.

    `document` is what the updater is told about the product on one node.
    """
    values, service = document.get("values"), document.get("service")
    known = {str(k): str(v) for k, v in values.items()} if isinstance(values, Mapping) else {}
    found = {value for name, value in known.items() if sounds_secret(name)}
    env = service.get("env") if isinstance(service, Mapping) else None
    for name, template in env.items() if isinstance(env, Mapping) else ():
        if sounds_secret(str(name)):
            found.add(_expanded(str(template), known))
    return found


def _expanded(template: str, values: Mapping[str, str]) -> str:
    try:
        return expand(template, {"version": "", **values})
    except ExpandError:
        return template
