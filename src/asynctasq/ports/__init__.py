"""The four ports: driver, serializer, resolver, executor. Their docstrings are the contract.

The suite in `asynctasq.testing.contract` holds every adapter to them. Whoever writes an adapter of their own finds all that it
takes and gives here, and the errors that it raises in `asynctasq.errors`.
"""

from asynctasq.domain.message import Claim, Message, ModelRef
from asynctasq.domain.queue_name import check_queue_name
from asynctasq.domain.verdict import ACK, Ack, DeadLetter, Release, Retry, Settlement, Verdict
from asynctasq.ports.driver import (
    AttemptError,
    Capabilities,
    DeadLetters,
    DeadMessage,
    Enqueued,
    EnqueueStatus,
    Extended,
    ExtendStatus,
    Inspector,
    Installable,
    Purgeable,
    QueueDriver,
    QueueStats,
    Settled,
    SettleStatus,
)
from asynctasq.ports.examination import Examinable, Finding
from asynctasq.ports.executor import Executor
from asynctasq.ports.refusals import refusal_of_follow_ups, refusal_of_message
from asynctasq.ports.resolver import ModelResolver
from asynctasq.ports.search import LiveMessage, Searchable, live_message
from asynctasq.ports.serializer import Serializer

__all__ = [
    "ACK",
    "Ack",
    "AttemptError",
    "Capabilities",
    "Claim",
    "DeadLetter",
    "DeadLetters",
    "DeadMessage",
    "EnqueueStatus",
    "Enqueued",
    "Examinable",
    "Executor",
    "ExtendStatus",
    "Extended",
    "Finding",
    "Inspector",
    "Installable",
    "LiveMessage",
    "Message",
    "ModelRef",
    "ModelResolver",
    "Purgeable",
    "QueueDriver",
    "QueueStats",
    "Release",
    "Retry",
    "Searchable",
    "Serializer",
    "SettleStatus",
    "Settled",
    "Settlement",
    "Verdict",
    "check_queue_name",
    "live_message",
    "refusal_of_follow_ups",
    "refusal_of_message",
]
