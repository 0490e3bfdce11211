"""The SQS driver."""

from asynctasq.domain.errors import MissingDependency

try:
    from asynctasq.adapters.drivers.sqs.driver import SQSDriver
except ModuleNotFoundError as error:
    if error.name not in ("aiobotocore", "botocore", "aiohttp"):
        raise
    raise MissingDependency(
        "the SQS driver needs the package aiobotocore: install asynctasq with its extra 'sqs'"
    ) from error

__all__ = ["SQSDriver"]
