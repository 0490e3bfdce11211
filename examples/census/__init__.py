"""The demo: a census of this Python's standard library, by two workers of which one is killed on the way."""
