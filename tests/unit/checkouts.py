"""The least that a stack and a product file say, and what is read from them or said of them."""

from pathlib import Path

import pytest

from settings.loader import load, read_stack_file
from settings.problems import SettingsError

CHECKOUT = Path(__file__).resolve().parents[2]

STACK = """
config:
  dockyard:product: products/shop.yaml
  dockyard:environment: development
"""
PRODUCT = """
name: shop
services:
  api:
    image: registry.example/api:1
    port: 8000
    health: {http: /ready}
    limits: {memory: 512MB}
"""


def make(tmp_path, product=PRODUCT):
    (tmp_path / "products").mkdir()
    (tmp_path / "components").mkdir()
    (tmp_path / "components/images.yaml").write_text((CHECKOUT / "components/images.yaml").read_text())
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK)
    (tmp_path / "products/shop.yaml").write_text(product)
    return tmp_path


def say(checkout, stack="", product=""):
    """Write both files anew, with these lines behind the least that they say."""
    (checkout / "Pulumi.dev.yaml").write_text(STACK + stack)
    (checkout / "products/shop.yaml").write_text(PRODUCT + product)


def read(checkout, **options):
    return load(read_stack_file(checkout, "dev"), "dev", checkout=checkout, **options)


def problems(checkout, **options) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(checkout, **options)
    return [str(problem) for problem in caught.value.problems]
