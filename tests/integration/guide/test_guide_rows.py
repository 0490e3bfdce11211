"""What users are shown of rows as arguments, typed and run for each ORM: a program dispatches, a worker reads the rows anew."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import UUID

import pytest
from tests.integration.fleet import sqlite
from tests.integration.guide.project import PROGRAMS, Project

pytestmark = pytest.mark.timeout(240)  # several interpreters start one after the other, beside other tests


def dispatched(project: Project) -> int:
    """Run the program; how many ids it prints."""
    return len({UUID(line) for line in project.dispatch()})


@pytest.mark.parametrize("pool", ["", "GUIDE_NULL_POOL"], ids=["its own pool", "NullPool"])
def test_rows_of_sqlalchemy_are_read_in_sessions_of_the_factory_on_the_base(
    pool: str, request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path
) -> None:
    database = {"GUIDE_DATABASE": postgres_url.replace("postgresql:", "postgresql+asyncpg:")}
    rows = Project.of("rows_sqlalchemy.py", sqlite(request), tmp_path, **database, **({pool: "1"} if pool else {}))
    assert dispatched(rows) == 4
    assert rows.work() == [
        "bill 100 to Countess Ada",
        "ship 100 of 9.5 to Countess Ada",
        "stamp 100",
        "welcome Countess Ada <ada@example.org> 1",
    ]
    assert rows.waiting("letters", "sales") == dict.fromkeys(["letters", "sales"], (0, 0, 0))


def test_rows_of_tortoise_are_read_where_the_worker_initialised_it(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    database = f"sqlite://{tmp_path / 'rows.db'}"
    rows = Project.of("rows_tortoise.py", sqlite(request), tmp_path, GUIDE_DATABASE=database)
    assert dispatched(rows) == 3
    assert rows.work() == ["Countess Ada has written 1", "new 'Engines' by Countess Ada", "signed Countess Ada"]
    assert rows.waiting("news") == {"news": (0, 0, 0)}


def test_rows_of_django_are_read_where_the_settings_module_says(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    shutil.copytree(PROGRAMS / "rows_django", tmp_path, dirs_exist_ok=True)
    settings = {"DJANGO_SETTINGS_MODULE": "members_settings"}
    rows = Project.of("rows_django/rows_django.py", sqlite(request), tmp_path, **settings)
    rows.file = "rows_django.py"
    assert dispatched(rows) == 3
    rows.file = "members.tasks"
    assert rows.work() == ["Engine from 80.00 to 99.99", "label Engine", "welcome Countess Ada <ada@example.org>"]
    assert rows.waiting("letters", "prices") == dict.fromkeys(["letters", "prices"], (0, 0, 0))
