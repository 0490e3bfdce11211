"""The SQS driver: standard queues of Amazon SQS."""

from asynctasq.adapters.drivers.sqs import SQSDriver

__all__ = ["SQSDriver"]
