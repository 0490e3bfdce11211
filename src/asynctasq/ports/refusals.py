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
    # One by one: every message of every dispatch comes by here, and nearly none asks for any.
    unknown: list[str] = []
    if message.priority != 0 and not capabilities.priority:
        unknown.append("priority")
    if message.unique_key is not None and not capabilities.unique:
        unknown.append("unique_key")
    if message.unique_for is not None and not capabilities.unique:
        unknown.append("unique_for")
    if message.group is not None and not capabilities.group:
        unknown.append("group")
    if unknown:
        return UnsupportedByDriver(
            f"message {message.id!r}: the {driver} driver knows no {', '.join(unknown)}; leave it out"
        )
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


def refusal_of_follow_ups(driver: str) -> UnsupportedByDriver:
    """What a settlement with follow-ups FAILED of, where `atomic_follow_up` is not declared.

    Args:
        driver: what people call it, such as "SQLite".
    """
    return UnsupportedByDriver(f"the {driver} driver enqueues no follow-ups: leave `then` empty")
