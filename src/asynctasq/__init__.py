"""asynctasq."""
