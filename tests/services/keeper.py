"""Keeps one server for a test run, and lets it not outlive that: run as a process of its own by `Server`.

Orders come as lines of words separated by NUL; each is answered by a line. When the pipe ends, because the test run has
ended in whatever way, the server is stopped and its folder removed.
"""

import contextlib
import shutil
import subprocess
import sys

STOPPING = 10.0
"""Seconds that a server has to stop by itself."""


def main(folder: str, user: str) -> None:
    server: subprocess.Popen[bytes] | None = None
    with open(f"{folder}/server.log", "ab") as log:
        for line in sys.stdin:
            order, *command = line.rstrip("\n").split("\0")
            if order == "start":
                server = subprocess.Popen(
                    command,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    user=user or None,
                    group=_group(user) if user else None,
                    extra_groups=[] if user else None,
                )
                answer = str(server.pid)
            elif order == "kill" and server is not None:
                server.kill()
                server.wait()
                answer = "killed"
            else:
                answer = "runs" if server is not None and server.poll() is None else "ended"
            with contextlib.suppress(BrokenPipeError):
                print(answer, flush=True)
    if server is not None and server.poll() is None:
        server.terminate()
        try:
            server.wait(STOPPING)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _group(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


if __name__ == "__main__":
    main(*sys.argv[1:])
