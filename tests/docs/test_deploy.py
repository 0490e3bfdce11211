"""The page about deployment: what it shows can be read by those it is meant for, and its numbers agree with ours."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from typing import Any

import pytest
import yaml
from tests.docs.blocks import ROOT, Block, blocks
from tests.docs.test_blocks import check

from asynctasq.app.cli import main
from asynctasq.app.lifeline import LAST_CALL

BLOCKS = blocks(ROOT / "docs" / "deploy.md")
(UNIT,) = [block for block in BLOCKS if block.language == "ini"]
(DOCKERFILE,) = [block for block in BLOCKS if block.language == "dockerfile"]
COMPOSE, KUBERNETES = [block for block in BLOCKS if block.language == "yaml"]


def unit() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(UNIT.source)
    return parsed


def documents(block: Block) -> list[Any]:
    return list(yaml.safe_load_all(block.source))


def commands() -> list[list[str]]:
    """Every command line of ours that the page has anybody run."""
    compose = documents(COMPOSE)[0]["services"]
    containers = [
        container for each in documents(KUBERNETES) for container in each["spec"]["template"]["spec"]["containers"]
    ]
    return [
        shlex.split(unit()["Service"]["ExecStart"])[1:],
        json.loads(re.search(r"^CMD (.+)$", DOCKERFILE.source, re.MULTILINE)[1]),  # type: ignore[index]
        *(service["command"] for service in compose.values() if "command" in service),
        *(container["args"] for container in containers),
        *(container["startupProbe"]["exec"]["command"][1:] for container in containers if "startupProbe" in container),
    ]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_each_command_exists_with_its_options(words: list[str]) -> None:
    check(main, words)


@pytest.mark.parametrize(
    ("words", "patience"),
    [
        (commands()[0], float(unit()["Service"]["TimeoutStopSec"])),
        (documents(COMPOSE)[0]["services"]["worker"]["command"], 75.0),
        (
            documents(KUBERNETES)[1]["spec"]["template"]["spec"]["containers"][0]["args"],
            documents(KUBERNETES)[1]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"],
        ),
    ],
    ids=["systemd", "compose", "kubernetes"],
)
def test_nobody_is_killed_before_its_grace_and_the_last_call_are_over(words: list[str], patience: float) -> None:
    grace = float(words[words.index("--shutdown-grace") + 1])
    assert patience > grace + LAST_CALL
    assert documents(COMPOSE)[0]["services"]["worker"]["stop_grace_period"] == "75s"
