"""The tutorial, done from its first line to its last as a reader does: files are written, commands typed, outputs compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "tutorial.md"
BOUNDARY = "-- the next block --"
DIFFERENT = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"\d[\d.]* (ms|s)\b", "TIME"),
    (r"in [\d.]+s", "in TIME"),
    (r"[ \t]+", " "),  # a table has other widths on a terminal than in a pipe
]


def alike(text: str) -> str:
    for pattern, instead in DIFFERENT:
        text = re.sub(pattern, instead, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


@pytest.mark.timeout(180)  # a dozen interpreters start one after the other
def test_the_tutorial_works_from_its_first_line_to_its_last(redis_url: str, tmp_path: Path) -> None:
    steps = blocks(PAGE)
    script: list[str] = []
    for block in steps:
        if block.mark == "file":
            script.append(f"cat > {block.words} <<'END OF THE FILE'\n{block.source}END OF THE FILE\n")
        elif block.language == "sh":
            script.append(f"{block.source}echo '{BOUNDARY}'\n")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("ASYNCTASQ_", "PYTEST_"))}
    # What the reader has at its usual place is elsewhere here, and shared with others.
    environ = {**ours, "ASYNCTASQ_REDIS_KEY_PREFIX": f"tutorial-{uuid4().hex[:12]}", "PYTHONDONTWRITEBYTECODE": "1"}
    # That is for two versions of a file within a second: nobody types so fast that one's bytecode is taken for the other's.
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input="".join(script).replace("redis://localhost:6379", redis_url),
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.split(f"{BOUNDARY}\n")
    shown = [
        after.source if after.language == "text" else ""
        for block, after in zip(steps, [*steps[1:], steps[-1]], strict=True)
        if block.language == "sh"
    ]
    assert len(shown) > 5
    for printed, promised in zip(said, shown, strict=False):
        assert alike(printed) == alike(promised)
