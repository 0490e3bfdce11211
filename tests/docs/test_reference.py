"""The pages that are made of the code, or by running it, are what they would be if they were made now."""

from __future__ import annotations

import pytest
from tests.docs import mistakes, reference

AGAIN = "`python -m tests.docs.reference` writes it anew"


def test_the_page_of_errors_is_what_the_classes_say() -> None:
    assert reference.ERRORS.read_text() == reference.errors_page(), AGAIN


def test_the_options_of_the_command_line_are_those_that_there_are() -> None:
    assert reference.CLI.read_text() == reference.cli_page(), AGAIN


@pytest.mark.timeout(180)  # thirty programs are run
def test_the_page_of_mistakes_shows_what_is_printed(postgres_url: str) -> None:
    assert mistakes.PAGE.read_text() == mistakes.page(postgres_url), "`python -m tests.docs.mistakes` makes them anew"
