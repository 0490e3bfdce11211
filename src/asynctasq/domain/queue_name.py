"""The grammar of queue names: the intersection of what SQS, SQL, Redis and AMQP can carry."""

from __future__ import annotations

import re

from asynctasq.domain.errors import InvalidName

GRAMMAR = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
_MATCHES = re.compile(GRAMMAR).fullmatch


def check_queue_name(name: object) -> str:
    """Give `name` back if it is a valid queue name.

    Raises:
        InvalidName: it is not a string of 1 to 64 letters, digits, `_` and `-` that starts with a letter or digit.
    """
    if isinstance(name, str) and _MATCHES(name):
        return name
    raise InvalidName(
        f"{name!r} is not a queue name: use 1 to 64 ASCII letters, digits, '_' and '-', "
        "starting with a letter or a digit (for example 'high-priority')"
    )
