"""What the commands print on a terminal and elsewhere."""

import sys

import pytest

from asynctasq.app.cli.output import age, printable, show_table, timestamp


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (90_000, "1 d"), (864_000, "10 d")],
)
def test_an_age_is_told_in_the_largest_unit_that_fits(seconds, text):
    assert age(seconds) == text


def test_a_time_is_rfc_3339_in_utc():
    assert timestamp(0) == "1970-01-01T00:00:00Z"


def test_what_would_steer_a_terminal_is_spelled_out_and_lines_stay_lines():
    assert printable("\x1b[2Jgone\n\tü\r\x07") == "\\x1b[2Jgone\n\tü\\r\\x07"


def test_elsewhere_a_row_is_one_line_whatever_is_in_its_cells(capsys):
    show_table(["A", "B"], [["1\t2", "3\n4"], ["", "5"]], title="unseen")
    assert capsys.readouterr().out == "A\tB\n1 2\t3 4\n\t5\n"


def test_on_a_terminal_it_is_a_table_and_what_users_wrote_is_no_markup(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    show_table(["NAME", "N"], [["[bold]x[/bold]", "7"], ["y", "12"]], title="/queue.db")
    out = capsys.readouterr().out
    assert "[bold]x[/bold]" in out
    assert "/queue.db" in out
    assert " 7 " in out.replace("12", "")


def test_on_a_terminal_ids_are_never_broken(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    show_table(["ID", "REASON"], [["019a2c1e-5f8b-7cc1-a2de-6f0e5b1c9d3f", "failed on attempt 3 of 3 " * 4]])
    assert "019a2c1e-5f8b-7cc1-a2de-6f0e5b1c9d3f" in capsys.readouterr().out
