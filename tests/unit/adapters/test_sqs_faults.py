"""What an error of the client, or a refusal of SQS, means to the port."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore import exceptions as theirs

from asynctasq.adapters.drivers.sqs.faults import NoSuchQueue, NotAllowed, Superseded, refusal, translated
from asynctasq.domain.errors import (
    AsyncTasQError,
    ConfigurationError,
    DriverUnavailable,
    Indeterminate,
    PayloadTooLarge,
    UnsupportedByDriver,
)

HERE = "sqs://eu-central-1"
KEY = ConnectionKey("host", 443, True, True, None, None, None)


def refused(code: str, status: int = 400, said: str = "said") -> theirs.ClientError:
    answer: Any = {"Error": {"Code": code, "Message": said}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return theirs.ClientError(answer, "SendMessageBatch")


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        (refused("AWS.SimpleQueueService.NonExistentQueue"), NoSuchQueue),
        (refused("QueueDoesNotExist"), NoSuchQueue),
        (refused("AccessDenied", 403), NotAllowed),
        (refused("AccessDeniedException", 403), NotAllowed),
        (refused("KmsAccessDenied"), ConfigurationError),
        (refused("InvalidClientTokenId", 403), ConfigurationError),
        (refused("SignatureDoesNotMatch", 403), ConfigurationError),
        (refused("RequestThrottled"), DriverUnavailable),
        (refused("ThrottlingException"), DriverUnavailable),
        (refused("OverLimit", 403), DriverUnavailable),
        (refused("ServiceUnavailable", 503), DriverUnavailable),
        (refused("ExpiredToken", 403), DriverUnavailable),
        (refused("AWS.SimpleQueueService.QueueDeletedRecently"), DriverUnavailable),
        (refused("InternalFailure", 500), Indeterminate),
        (refused("", 502), Indeterminate),
        (refused("SomethingNew"), DriverUnavailable),
        (refused("ReceiptHandleIsInvalid"), Superseded),
        (refused("InvalidParameterValue", said="Message does not exist or is not available for ..."), Superseded),
        (refused("InvalidParameterValue", said="Total VisibilityTimeout is beyond the limit"), UnsupportedByDriver),
        (refused("InvalidParameterValue", said="Message must be shorter than 1024 bytes"), PayloadTooLarge),
        (refused("InvalidParameterValue", said="something else"), DriverUnavailable),
        (theirs.NoCredentialsError(), ConfigurationError),
        (theirs.NoRegionError(), ConfigurationError),
        (theirs.ProfileNotFound(profile="shop"), ConfigurationError),
        (ValueError("Invalid endpoint: x"), ConfigurationError),
        (theirs.ConnectTimeoutError(endpoint_url=HERE), DriverUnavailable),
        (theirs.ReadTimeoutError(endpoint_url=HERE), Indeterminate),
        (theirs.ConnectionClosedError(endpoint_url=HERE), Indeterminate),
        (TimeoutError(), Indeterminate),
        (
            theirs.EndpointConnectionError(
                endpoint_url=HERE, error=aiohttp.ClientConnectorError(KEY, OSError(111, "no"))
            ),
            DriverUnavailable,
        ),
        (theirs.EndpointConnectionError(endpoint_url=HERE, error=socket.gaierror(-2, "no name")), DriverUnavailable),
        # The same class of a connection that broke while it was used.
        (theirs.EndpointConnectionError(endpoint_url=HERE, error=aiohttp.ClientOSError(32, "broken")), Indeterminate),
    ],
    ids=repr,
)
def test_an_error_is_translated(error: Exception, meant: type[AsyncTasQError]) -> None:
    translation = translated(error, HERE)
    assert type(translation) is meant
    assert str(translation)
    if meant is not Superseded and meant is not UnsupportedByDriver:
        assert HERE in str(translation)


def test_an_entry_that_failed_for_a_reason_of_the_servers_may_have_been_carried_out() -> None:
    assert type(refusal("InternalError", "", HERE)) is Indeterminate
