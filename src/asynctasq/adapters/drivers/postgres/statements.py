"""The SQL of this driver: one file per statement, with the name of the schema filled in."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_FOLDER = files("asynctasq.adapters.drivers.postgres") / "sql"
_CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


@cache
def statement(name: str, schema: str) -> str:
    """The text of `sql/<name>.sql` for the tables of `schema`. `{now}` is the server's clock, in microseconds."""
    text = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    return text.replace("{schema}", f'"{schema}"').replace("{name}", schema).replace("{now}", _CLOCK)


def passing_over_known(enqueue: str) -> str:
    """`sql/enqueue.sql`, with an id that is alive passed over. Each row is stored on trial then, which takes a fifth longer."""
    return enqueue.replace("RETURNING", "ON CONFLICT (id, queue) DO NOTHING RETURNING")
