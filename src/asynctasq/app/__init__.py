"""What is the same for every driver: tasks, dispatch, the worker, and the container that wires them."""
