"""What every driver refuses, by what it declares: asked before anything is sent to the broker."""

from __future__ import annotations

from asynctasq.domain.errors import DispatchError, InvalidName, PayloadTooLarge, UnsupportedByDriver
from asynctasq.domain.message import Message
from asynctasq.domain.queue_name import check_queue_name
from asynctasq.ports.driver import Capabilities


def refusal_of_message(message: Message, capabilities: Capabilities, driver: str) -> DispatchError | None:
    """Why a driver cannot store a message as it is; None if it can.

    Args:
        message: what is to be enqueued.
        capabilities: what the driver declares.
        driver: what people call it, such as "SQLite".
    """
    try:
        check_queue_name(message.queue)
    except InvalidName as error:
        return error
    if (
        (message.priority != 0 and not capabilities.priority)
        or ((message.unique_key is not None or message.unique_for is not None) and not capabilities.unique)
        or (message.group is not None and not capabilities.group)
    ):
        return _refusal_of_what_is_unknown(message, capabilities, driver)
    if capabilities.max_body is not None and len(message.body) > capabilities.max_body:
        return PayloadTooLarge(
            f"message {message.id!r} has {len(message.body)} bytes; the {driver} driver takes {capabilities.max_body}: "
            "send a reference to the data instead"
        )
    if capabilities.max_delay is not None and message.delay > capabilities.max_delay:
        return UnsupportedByDriver(
            f"message {message.id!r} has a delay of {message.delay:g} s; "
            f"the {driver} driver takes {capabilities.max_delay:g} s: use a shorter one"
        )
    return None


def _refusal_of_what_is_unknown(message: Message, capabilities: Capabilities, driver: str) -> UnsupportedByDriver:
    asked = {
        "priority": message.priority != 0 and not capabilities.priority,
        "unique_key": message.unique_key is not None and not capabilities.unique,
        "unique_for": message.unique_for is not None and not capabilities.unique,
        "group": message.group is not None and not capabilities.group,
    }
    unknown = ", ".join(name for name, refused in asked.items() if refused)
    return UnsupportedByDriver(f"message {message.id!r}: the {driver} driver knows no {unknown}; leave it out")


def refusal_of_follow_ups(driver: str) -> UnsupportedByDriver:
    """What a settlement with follow-ups FAILED of, where `atomic_follow_up` is not declared.

    Args:
        driver: what people call it, such as "SQLite".
    """
    return UnsupportedByDriver(f"the {driver} driver enqueues no follow-ups: leave `then` empty")
