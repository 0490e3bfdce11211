"""A certificate authority of the tests' own."""

from __future__ import annotations

import subprocess
from pathlib import Path

SIGNS = ("-addext", "keyUsage=critical,keyCertSign")
"""Options for the certificate of an authority: without them Python 3.13 and newer trusts it in nothing."""

NAMES = "subjectAltName={}\nauthorityKeyIdentifier=keyid\n"
"""The extensions of a server's certificate, which Python 3.13 and newer asks for as well."""


def authority(folder: Path) -> Path:
    """A folder with an authority (`ca.crt`), and a certificate of it for 127.0.0.1 (`server.crt`, `server.key`)."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    made = ("-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca")
    openssl("req", "-x509", *made, *SIGNS)
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server"
    )
    (folder / "names").write_text(NAMES.format("IP:127.0.0.1"))
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-out", "server.crt")
    openssl("x509", "-req", "-in", "server.csr", *signed)
    return folder
