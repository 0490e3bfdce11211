"""What the SQS driver says where its package is not installed."""

from __future__ import annotations

import subprocess
import sys


def test_without_its_package_the_driver_names_the_extra() -> None:
    without = "import sys; sys.modules['aiobotocore'] = None; import asynctasq.drivers.sqs_driver"
    run = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert "MissingDependency" in run.stderr
    assert "extra 'sqs'" in run.stderr
