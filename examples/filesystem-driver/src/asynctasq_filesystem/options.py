"""What people may set, and the driver that follows. The entry point `filesystem` names this function."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from asynctasq.errors import ConfigurationError
from asynctasq_filesystem.driver import FilesystemDriver

DEFAULT = Path(".asynctasq") / "queues"


def filesystem(*, url: str | None = None, path: Path | None = None, fsync: bool = True) -> FilesystemDriver:
    """A driver as the settings describe it; each parameter is one of them.

    Args:
        url: `filesystem:///relative/folder` or `filesystem:////absolute/folder`, where the driver was named by one.
        path: the folder, if not in the URL; by default `.asynctasq/queues`. A relative one counts from the working directory.
        fsync: whether a message has reached the disk before its enqueue returns; without it, a power cut may take the
            last moments.

    Raises:
        ConfigurationError: a URL that names no folder, or a folder twice.
    """
    if url is not None:
        if path is not None:
            raise ConfigurationError(
                f"{url!r} names the folder, and drivers.filesystem.path={str(path)!r} too: keep one"
            )
        path = _folder(url)
    return FilesystemDriver(path or DEFAULT, fsync=fsync)


def _folder(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{url!r}: write filesystem:///relative/folder or filesystem:////absolute/folder, and nothing more"
        )
    folder = unquote(parts.path.removeprefix("/"))
    return Path(folder) if folder else None
