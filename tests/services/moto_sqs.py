"""moto's SQS as a server, run as a process of its own by `tests.services.sqs`: what moto leaves out of SQS is put right here.

* Its requests race with one another: two receives may take one message, and a delete may drop what is being sent. Here each
  is one step.
* It looks at all messages of a queue, several times over, for each that is sent, received or deleted. Here it does so when it is
  asked about them.
* It hangs up after each answer.
* It takes characters that SQS refuses.
* It refuses a message alone that says it is `to-be-refused`.
* It fails, or refuses, when it is told to; a queue may be forbidden for good.
* It counts the requests by their action, and lets time pass when it is told to, under paths of our own.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from moto.core.utils import unix_time_millis
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sqs.exceptions import InvalidParameterValue, SQSException
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends
from werkzeug.test import EnvironBuilder, run_wsgi_app

LOOK = 0.02
"""Seconds between two looks of a receive that waits: moto's own is a second."""

THREADS = 200
"""Requests at the same time: those that wait for messages are among them."""

MOST = 2 << 20
"""Bytes of a request: what SQS takes, and some more."""

REFUSED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What a message of SQS may not contain."""

step = threading.RLock()
requests: Counter[str] = Counter()
failing: list[str] = []
"""The actions whose next request fails."""
refusing: list[str] = []
"""The actions whose next request is not allowed."""
forbidden: list[str] = []
"""How the names of queues end with which nothing is allowed."""


def in_one_step(name: str) -> None:
    inner = getattr(SQSBackend, name)

    def whole(self: SQSBackend, *args: Any, **kwargs: Any) -> Any:
        with step:
            return inner(self, *args, **kwargs)

    setattr(SQSBackend, name, whole)


for name in (
    *("create_queue", "send_message", "send_message_batch", "delete_message"),
    *("change_message_visibility", "get_queue_attributes", "purge_queue"),
):
    in_one_step(name)

send_now = SQSBackend.send_message


def send_message(self: SQSBackend, queue_name: str, message_body: str, *rest: Any, **more: Any) -> Message:
    if "to-be-refused" in message_body:
        raise InvalidParameterValue("Value for parameter DelaySeconds is invalid, says the test.")
    return send_now(self, queue_name, message_body, *rest, **more)


SQSBackend.send_message = send_message

receive_now = SQSBackend.receive_message


def receive_message(self: SQSBackend, queue_name: str, count: int, wait: int, *rest: Any) -> list[Any]:
    end = time.monotonic() + wait
    while True:
        with step:
            found = receive_now(self, queue_name, count, 0, *rest)
        left = end - time.monotonic()
        if found or left <= 0:
            return found
        time.sleep(min(left, LOOK))


SQSBackend.receive_message = receive_message

count_everything = Queue.attributes.fget
counting = threading.local()


def attributes(self: Queue) -> dict[str, Any]:
    if getattr(counting, "asked_for", False):
        return count_everything(self)
    return {"MessageRetentionPeriod": self.message_retention_period, "ContentBasedDeduplication": "false"}


def messages(self: Queue) -> list[Message]:
    now = unix_time_millis()
    return [message for message in self._messages if now > message.visible_at and now >= message.delayed_until]


def had_receipt_handle(self: Message, receipt_handle: str) -> bool:
    return receipt_handle == self.receipt_handle or receipt_handle in self._old_receipt_handles


Queue.attributes = property(attributes)
Queue.messages = property(messages)
Message.had_receipt_handle = had_receipt_handle

validate = SQSBackend._validate_message


def validate_message(self: SQSBackend, queue: Queue, message_body: str, *rest: Any, **more: Any) -> None:
    if REFUSED.search(message_body):  # of all of a request, which SQS would do one by one
        raise SQSException("InvalidMessageContents", "The message contains characters outside the allowed set.")
    validate(self, queue, message_body, *rest, **more)


SQSBackend._validate_message = validate_message


def age(seconds: float) -> None:
    """Let everything that is stored have happened earlier."""
    back = int(seconds * 1000)
    with step:
        for backends in sqs_backends.values():
            for backend in backends.values():
                for message in [message for queue in backend.queues.values() for message in queue._messages]:
                    message.visible_at -= back
                    message.delayed_until -= back
                    message.sent_timestamp -= back
                    if message.approximate_first_receive_timestamp:
                        message.approximate_first_receive_timestamp -= back


def stored(name: str) -> list[tuple[float, str]]:
    """When each message of a queue was sent, and its text."""
    with step:
        queues = [
            queue
            for backends in sqs_backends.values()
            for backend in backends.values()
            for queue in backend.queues.values()
        ]
        return [
            (message.sent_timestamp / 1000, message.body)
            for queue in queues
            if queue.name == name
            for message in queue._messages
        ]


class Application:
    """moto, with what the tests need to know and do beside it."""

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        place, asked = environ["PATH_INFO"], parse_qs(environ.get("QUERY_STRING", ""))
        if not place.startswith("/asynctasq/"):
            action = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[2]
            requests[action] += 1
            if action in failing:
                failing.remove(action)
                start_response("500 Internal Server Error", [("Content-Type", "application/x-amz-json-1.0")])
                return [b'{"__type":"com.amazonaws.sqs#InternalFailure"}']
            body = environ["wsgi.input"].read()
            environ["wsgi.input"] = BytesIO(body)
            if action in refusing or any(f'{name}"'.encode() in body for name in forbidden):
                with suppress(ValueError):
                    refusing.remove(action)
                start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.0")])
                return [b'{"__type":"com.amazonaws.sqs#AccessDenied"}']
            counting.asked_for = action in ("GetQueueAttributes", "CreateQueue")
            return self.moto(environ, start_response)
        answer: object = os.getpid()
        if place.endswith("/age"):
            age(float(asked["seconds"][0]))
        elif place.endswith("/fail"):
            failing.append(asked["action"][0])
        elif place.endswith("/refuse"):
            refusing.append(asked["action"][0])
        elif place.endswith("/forbid"):
            forbidden.append(asked["queue"][0])
        elif place.endswith("/messages"):
            answer = stored(asked["queue"][0])
        elif place.endswith("/requests"):
            answer = dict(requests)
            requests.clear()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]


application = Application()


async def serve(request: web.Request) -> web.Response:
    """One request, in a thread of its own: it may wait for messages."""
    environ = EnvironBuilder(
        base_url=f"http://{request.host}",
        path=request.path,
        query_string=request.query_string,
        method=request.method,
        headers=list(request.headers.items()),
        data=await request.read(),
    ).get_environ()
    body, status, headers = await asyncio.to_thread(run_wsgi_app, application, environ, buffered=True)
    headers.remove("Content-Length")  # it is counted anew
    return web.Response(body=b"".join(body), status=int(status.split()[0]), headers=headers)


async def served() -> web.Application:
    """The server, of HTTP as SQS speaks it: connections stay open between requests, which moto's own are not."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=THREADS))
    app = web.Application(client_max_size=MOST)
    app.router.add_route("*", "/{place:.*}", serve)
    return app


if __name__ == "__main__":
    web.run_app(served(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
