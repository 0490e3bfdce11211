"""The client's errors and the refusals of SQS in the port's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from socket import gaierror
from typing import Any

from aiohttp import ClientConnectorError
from botocore import exceptions as _exceptions  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]

from asynctasq.domain.errors import (
    AsyncTasQError,
    ConfigurationError,
    DriverError,
    DriverUnavailable,
    Indeterminate,
    PayloadTooLarge,
    UnsupportedByDriver,
)

theirs: Any = _exceptions
"""The client's errors. It has no types."""

RAISED: tuple[type[BaseException], ...] = (theirs.BotoCoreError, theirs.ClientError, OSError, TimeoutError, ValueError)
"""What the client raises when a request fails."""


class NoSuchQueue(DriverUnavailable):
    """The queue does not exist (any more): whoever asked decides what follows."""


class NotAllowed(ConfigurationError):
    """These credentials may not do that. They may well be allowed something else."""


class Superseded(DriverError):
    """The receipt is of a message that is gone, or that somebody else may hold. It never leaves this package."""


_MISSING = ("NonExistentQueue", "QueueDoesNotExist")
_GONE = ("ReceiptHandleIsInvalid", "InvalidReceiptHandle", "MessageNotInflight", "InvalidIdFormat")
_FOR_GOOD = {
    "InvalidClientTokenId": "it does not know these credentials: check AWS_ACCESS_KEY_ID, or the profile, and sqs.region",
    "UnrecognizedClient": "it does not know these credentials: check AWS_ACCESS_KEY_ID, or the profile, and sqs.region",
    "InvalidAccessKeyId": "it does not know these credentials: check AWS_ACCESS_KEY_ID, or the profile, and sqs.region",
    "SignatureDoesNotMatch": "it refuses the signature: check the secret access key, the region and this machine's clock",
    "InvalidSignature": "it refuses the signature: check the secret access key, the region and this machine's clock",
    "IncompleteSignature": "it refuses the signature: check the secret access key, the region and this machine's clock",
    "AuthFailure": "it refuses these credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile",
    "OptInRequired": "this account has not subscribed to SQS: subscribe it in the AWS console",
    "InvalidAddress": "it has no such address: check sqs.endpoint_url and sqs.region",
    "InvalidSecurity": "it wants HTTPS: check sqs.endpoint_url",
    "KmsAccessDenied": "these credentials may not use the queue's key: allow them kms:GenerateDataKey and kms:Decrypt on it",
    "KmsDisabled": "the queue's key is disabled: enable it in KMS, or give the queue another",
    "KmsNotFound": "the queue's key does not exist: give the queue another",
    "QueueNameExists": "the queue exists with other attributes than it would be created with: set sqs.create_queues to false",
    "UnknownOperation": "it is not SQS: check sqs.endpoint_url",
}
_UNUSABLE: dict[tuple[type[BaseException], ...], str] = {
    (theirs.NoCredentialsError, theirs.PartialCredentialsError, theirs.CredentialRetrievalError): (
        "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a profile or a role"
    ),
    (
        theirs.ProfileNotFound,
    ): "the profile that AWS_PROFILE names is not there: correct its name, or add it to ~/.aws/config",
    (theirs.NoRegionError, theirs.InvalidRegionError): "no region is known: set sqs.region, or AWS_REGION",
    (
        theirs.ParamValidationError,
    ): "the client refuses what it is asked to send: check sqs.queue_prefix and the queue's name",
    (ValueError,): "its address cannot be read: check sqs.endpoint_url",
}
_UNREACHED: tuple[type[BaseException], ...] = (theirs.SSLError, theirs.ProxyConnectionError, theirs.ConnectTimeoutError)
_NOT_APPLIED = ("Throttl", "OverLimit", "ServiceUnavailable", "ExpiredToken", "QueueDeletedRecently")


def translated(error: Any, location: str) -> AsyncTasQError:
    """What an error of the client means.

    Args:
        error: one of botocore's, of the socket, or a timeout of ours.
        location: where SQS is.
    """
    if isinstance(error, theirs.ClientError):
        answer: Mapping[str, Any] = error.response
        told = answer.get("Error", {})
        failed = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
        return refusal(str(told.get("Code", "")), str(told.get("Message", "")), location, failed=failed)
    if advice := next((advice for kinds, advice in _UNUSABLE.items() if isinstance(error, kinds)), None):
        return ConfigurationError(f"SQS at {location}: {advice}")
    if isinstance(error, _UNREACHED) or _never_connected(error):
        return DriverUnavailable(f"SQS at {location} cannot be reached ({type(error).__name__})")
    return Indeterminate(f"SQS at {location} was lost before it had answered ({type(error).__name__})")


def refusal(code: str, said: str, location: str, *, failed: bool = False) -> AsyncTasQError:
    """What a refusal means, of a request or of one entry of a batch.

    Args:
        code: the word for it.
        said: the text beside it.
        location: where SQS is.
        failed: whether it was the server's own failure, so that the request may have been carried out.
    """
    if code == "InvalidParameterValue":
        return _bad_parameter(said, location)
    if _is(code, _MISSING):
        meant: AsyncTasQError = NoSuchQueue(f"SQS at {location} has no such queue")
    elif _is(code, _GONE):
        meant = Superseded(said)
    elif "AccessDenied" in code and not code.startswith("Kms"):
        meant = NotAllowed(
            f"SQS at {location}: these credentials may not do that: allow the actions that docs/sqs.md lists ({code})"
        )
    elif meaning := next((meaning for known, meaning in _FOR_GOOD.items() if known in code), None):
        meant = ConfigurationError(f"SQS at {location}: {meaning} ({code})")
    elif _is(code, _NOT_APPLIED):
        meant = DriverUnavailable(f"SQS at {location} takes no more requests for now ({code})")
    elif failed or code.startswith("Internal"):
        meant = Indeterminate(f"SQS at {location} failed ({code or 'no reason given'})")
    else:
        meant = DriverUnavailable(f"SQS at {location} refused: {code} {said}".rstrip())
    return meant


def _bad_parameter(said: str, location: str) -> AsyncTasQError:
    """One code for three things."""
    if "beyond the limit" in said:
        return UnsupportedByDriver(
            "SQS hides a message for twelve hours after it was received, and no longer: split the task"
        )
    if "does not exist or is not available" in said:
        return Superseded(said)
    if "must be shorter than" in said:
        return PayloadTooLarge(f"SQS at {location}: {said}: pass a reference to the data instead")
    return DriverUnavailable(f"SQS at {location} refused: {said}")


def _is(code: str, known: Sequence[str]) -> bool:
    return any(word in code for word in known)


def _never_connected(error: Any) -> bool:
    """Whether nothing was sent: the client raises the same for a connection that broke as for one that was never made."""
    if not isinstance(error, theirs.EndpointConnectionError):
        return False
    cause: object = error.kwargs.get("error")
    return isinstance(cause, (ClientConnectorError, gaierror))
