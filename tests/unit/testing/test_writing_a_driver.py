"""The page for authors of drivers speaks of what there is."""

import ast
import re
import textwrap
from dataclasses import fields
from pathlib import Path

import pytest

from asynctasq import ports
from asynctasq.ports import Capabilities
from asynctasq.testing.contract.driver import DriverContract

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "writing-a-driver.md").read_text()
BLOCKS = re.findall(r"^ *```python\n(.*?)^ *```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("field", [field.name for field in fields(Capabilities)])
def test_it_says_of_each_capability_what_is_asked_either_way(field):
    (table,) = re.findall(r"^\| field \| declared.*?\n\n", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert f"`{field}`" in table


def test_the_promises_that_it_names_are_promises():
    named = re.findall(r"^\* \*([a-z ]+)\*:", PAGE, flags=re.MULTILINE)
    assert len(named) == 3
    assert {f"test_{name.replace(' ', '_')}" for name in named} <= set(DriverContract.promises())


@pytest.mark.parametrize("block", BLOCKS)
def test_its_programs_are_python(block):
    ast.parse(textwrap.dedent(block))


def test_what_its_programs_import_is_there():
    imported = [
        (node.module, alias.name)
        for block in BLOCKS
        for node in ast.walk(ast.parse(textwrap.dedent(block)))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("asynctasq.")
        for alias in node.names
    ]
    assert imported
    for module, name in imported:
        assert hasattr(__import__(module, fromlist=[name]), name), f"{module} has no {name}"


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", PAGE))
def test_its_links_lead_somewhere(link):
    assert (ROOT / "docs" / link).exists()


def test_what_the_port_takes_and_gives_is_exported():
    assert all(hasattr(ports, name) for name in ports.__all__)
    source = ast.parse((ROOT / "src" / "asynctasq" / "ports" / "driver.py").read_text())
    public = {node.name for node in source.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}
    assert public <= set(ports.__all__)
