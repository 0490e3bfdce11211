from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PosixPath, PurePosixPath, PureWindowsPath
from typing import ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from asynctasq.adapters.serializers.msgpack import MsgpackSerializer
from asynctasq.domain.message import ModelRef
from asynctasq.testing.contract.serializer import SerializerContract


class TestMsgpackSerializer(SerializerContract):
    # Written down once. What fails here would fail on messages that are queued at this moment.
    golden: ClassVar = {
        "what msgpack knows": (
            [None, True, 1, -1.5, "text", b"bytes", [], {1: "one"}],
            "0198c0c301cbbff8000000000000a474657874c4056279746573908101a36f6e65",
        ),
        "a tuple": (
            (1, "two"),
            "01c706019201a374776f",
        ),
        "a set": (
            {1},
            "01d5029101",
        ),
        "a frozenset": (
            frozenset([1]),
            "01d5039101",
        ),
        "a reference to a row": (
            ModelRef(orm="django", label="app.User", pk=(1, "eu"), alias="replica"),
            "01c7210494a6646a616e676fa86170702e55736572c705019201a26575a77265706c696361",
        ),
        "an integer beyond 64 bits": (
            2**64,
            "01c70910010000000000000000",
        ),
        "a negative one": (
            -(2**63) - 1,
            "01c70910ff7fffffffffffffff",
        ),
        "a complex number": (
            complex(1.5, -0.0),
            "01d8113ff80000000000008000000000000000",
        ),
        "a decimal": (
            Decimal("-1.50"),
            "01c705122d312e3530",
        ),
        "a naive datetime": (
            datetime(2024, 10, 27, 2, 30, 15, 999_999, fold=1),  # noqa: DTZ001
            "01c70c1307e80a1b021e0f000f423f01",
        ),
        "a datetime in UTC": (
            datetime(2024, 2, 29, tzinfo=UTC),
            "01c70d1307e8021d00000000000000005a",
        ),
        "a datetime with an offset": (
            datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=-1))),
            "01c7151307e8021d00000000000000004fffffffff296c5c00",
        ),
        "a datetime with a named offset": (
            datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=1), "CET")),
            "01c7181307e8021d00000000000000004e00000000d693a400434554",
        ),
        "a datetime in a zone": (
            datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Prague"), fold=1),
            "01c71a1307e80a1b021e0000000000014b4575726f70652f507261677565",
        ),
        "a date": (
            date(2024, 2, 29),
            "01d61407e8021d",
        ),
        "a time": (
            time(23, 59, 58, 1),
            "01d715173b3a0000000100",
        ),
        "a time in a zone": (
            time(12, tzinfo=ZoneInfo("Europe/Prague")),
            "01c716150c000000000000004b4575726f70652f507261677565",
        ),
        "a timedelta": (
            timedelta(days=-1, seconds=3, microseconds=5),
            "01c70c16ffffffff0000000300000005",
        ),
        "a UUID": (
            UUID("01234567-89ab-cdef-0123-456789abcdef"),
            "01d8170123456789abcdef0123456789abcdef",
        ),
        "a path": (
            PosixPath("/srv/data"),
            "01c70a18012f7372762f64617461",
        ),
        "a pure path": (
            PurePosixPath("data"),
            "01c705180064617461",
        ),
        "a pure Windows path": (
            PureWindowsPath("c:\\data"),
            "01d71802633a5c64617461",
        ),
    }

    @pytest.fixture
    def serializer(self):
        return MsgpackSerializer()
