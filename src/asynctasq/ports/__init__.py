"""The four ports: driver, serializer, resolver, executor. Their docstrings are the contract.

The suite in `asynctasq.testing.contract` holds every adapter to them.
"""
