"""What the tests of a page find around them."""

import pytest
from shop.mail import MailServer, server
from shop.users import Client

pytest_plugins = ["asynctasq.testing.plugin"]


@pytest.fixture
def mail_server() -> MailServer:
    return server


@pytest.fixture
def outbox() -> list[str]:
    server.outbox.clear()
    return server.outbox


@pytest.fixture
def client() -> Client:
    return Client()
