"""The SQL of this driver, one file per statement, read once."""

from importlib.resources import files

_FOLDER = files("asynctasq.adapters.drivers.sqlite") / "sql"


def statement(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
