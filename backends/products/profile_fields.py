"""Kinds of texts in a profile: what each may be, with the reason where it may not."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from backends.products.template import Template, TemplateWord, check_template, same_for_all


def directory_text(text: str) -> str:
    """An absolute directory on the node, never its root."""
    check_template(text, ("node", "address", "role"))
    if not text.startswith("/"):
        raise ValueError("must be absolute")
    if ".." in text.split("/"):
        raise ValueError("must not contain ..")
    if not text.strip("/"):
        raise ValueError("must not be the root directory")
    return text.rstrip("/")


def inside_tree(text: str) -> str:
    """A path inside of a version's tree."""
    parts = text.split("/")
    if text.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise ValueError('must be a path inside the version\'s tree, such as "bin/control"')
    if "{" in text or "}" in text:
        raise ValueError("takes no placeholders")
    return text


def absolute(text: str) -> str:
    """A path from the root or from the product's directory."""
    if not text.startswith(("/", "{directory}/")):
        raise ValueError("must begin with / or {directory}/")
    return text


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")) or " " in text:
        raise ValueError("must begin with http:// or https:// and hold no spaces")
    return text


def fetched_url(text: str) -> str:
    """Where something lies that is the same for all nodes."""
    try:
        parts = urlsplit(_url(same_for_all(text)).replace("{version}", "1"))
        if not parts.hostname or parts.port == 0:
            raise ValueError("it names nobody to ask")
    except ValueError as error:
        raise ValueError(f"is no address: {error}") from error
    if parts.username is not None:
        raise ValueError("must hold no user and no password: it is shown and journaled")
    return text


def address_text(text: str) -> str:
    """host:port"""
    name, colon, port = text.rpartition(":")
    if not name or not colon or not (port.isdigit() or port.startswith("{")):
        raise ValueError('must be host:port, such as "127.0.0.1:{vars.port}"')
    return text


def pattern_text(text: str) -> str:
    """A regular expression with one group at most."""
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    if groups > 1:
        raise ValueError("may have at most one group")
    return text


Command = Annotated[tuple[TemplateWord, ...], Field(min_length=1)]
"""An argument list; run in the version's tree, never through a shell."""

Url = Annotated[Template, AfterValidator(_url)]
FieldName = Annotated[str, Field(pattern=r"^[^\s.]+(\.[^\s.]+)*$", max_length=200)]
"""A value in a JSON answer; dots lead into objects."""

EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]


def kept_name(text: str) -> str:
    """A name or a path of the keep-list."""
    if any(part in ("", ".", "..") for part in text.split("/")):
        raise ValueError('must be a name or a path inside the tree, such as "etc/*.conf"')
    return text
