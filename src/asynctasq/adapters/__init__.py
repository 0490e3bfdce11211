"""What stands behind the ports: one third-party library per file. Only `app/container.py` names these modules."""
