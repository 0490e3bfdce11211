"""Run the Python blocks of one page, in the working directory: `python -m tests.docs.run_page PAGE`.

A traceback shows the page's own lines. A block may await, as in an interactive session of asyncio's.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import sys
import types
from pathlib import Path

from tests.docs.blocks import blocks


def main(page: Path) -> None:
    # A module, so that tasks have names and annotations are found.
    module = sys.modules[page.stem.replace("-", "_")] = types.ModuleType(page.stem.replace("-", "_"))
    with asyncio.Runner() as runner:
        for block in blocks(page):
            if block.language == "python" and block.mark is None:
                source = "\n" * (block.line - 1) + block.source
                code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
                if code.co_flags & inspect.CO_COROUTINE:
                    runner.run(_awaited(code, module))
                else:
                    exec(code, module.__dict__)


async def _awaited(code: types.CodeType, module: types.ModuleType) -> None:
    await eval(code, module.__dict__)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
