"""Real products for the drills: products.txt says which versions, `make drill` fetches them."""

import sys
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "products"


def program(name: str, package: str, version: str) -> Path:
    """A program of a product; the test fails where it was not fetched."""
    found = FOLDER / f"{package}-{version}" / "bin" / name
    if not found.is_file():
        pytest.fail(
            f"{name} {version} is missing: {found}\n"
            f"`make drill` fetches what tests/drills/products.txt names",
            pytrace=False,
        )
    return found
