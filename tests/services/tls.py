"""A certificate authority of the tests' own."""

from __future__ import annotations

import subprocess
from pathlib import Path


def authority(folder: Path) -> Path:
    """A folder with an authority (`ca.crt`), and a certificate of it for 127.0.0.1 (`server.crt`, `server.key`)."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca")
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server"
    )
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-out", "server.crt")
    openssl("x509", "-req", "-in", "server.csr", *signed)
    return folder
