"""`python -m census`: run the demo and say whether it kept its promises.

Exit codes: 0 all is well; 1 it is not; 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from asynctasq.utils.loop import run
from census import report
from census.crew import WorkerFailed
from census.measure import LIBRARY, Figures, library_files, measure
from census.run import Census, CensusFailed, take_census


def main() -> int:
    """Take the census, count directly as well, compare."""
    arguments = _arguments()
    console = Console()
    paths = library_files()[: arguments.limit]
    console.print(f"A census of {LIBRARY}: {len(paths)} files, one task each", soft_wrap=True)
    try:
        with tempfile.TemporaryDirectory(prefix="asynctasq-census-") as directory, _progress(console) as progress:
            census = run(_by_queue(Path(directory), paths, progress))
            began = time.perf_counter()
            bar = progress.add_task("directly", total=len(paths))
            direct: dict[str, Figures] = {}
            for path in paths:
                direct[path] = measure(path)
                progress.advance(bar)
            seconds = time.perf_counter() - began
    except (CensusFailed, WorkerFailed, TimeoutError) as error:
        print(f"FAILED: {str(error) or 'the census took too long'}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted; the workers are stopped and the files removed", file=sys.stderr)
        return 130

    console.print(report.top_modules(direct), "", report.summary(census, direct, direct_seconds=seconds), sep="\n")
    for problem in (problems := report.problems(census, direct)):
        print(f"FAILED: {problem}", file=sys.stderr)
    if not problems:
        console.print(
            f"OK: one worker of two was killed, {len(report.recovered(census))} tasks were recovered, "
            "nothing was lost and nothing counted twice",
            soft_wrap=True,
        )
    return 1 if problems else 0


async def _by_queue(directory: Path, paths: Sequence[str], progress: Progress) -> Census:
    this = asyncio.current_task()
    assert this is not None
    # SIGTERM ends the demo as Ctrl-C does: through the `finally`s, so that no worker and no file stays behind.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    bar = progress.add_task("by the queue", total=len(paths))
    return await take_census(
        directory,
        paths,
        progress=lambda finished: progress.update(bar, completed=finished),
        say=lambda line: progress.console.print(line, highlight=False, soft_wrap=True),
    )


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="census", description=__doc__)
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="count the N largest files only (at least 30, to leave time for the kill)",
    )
    arguments = parser.parse_args()
    if arguments.limit is not None and arguments.limit < 30:
        parser.error(f"--limit {arguments.limit}: use 30 or more, or one worker is done before the other can be killed")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
