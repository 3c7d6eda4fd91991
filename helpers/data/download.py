"""Fetch one pinned file over HTTP: resumed after a break, verified at the end.

pooch keeps the cache and checks the hash; what it lacks, taking up a broken download where it
stopped, is here. The bytes so far lie in ``NAME.part`` beside the target. The next attempt asks
for the rest with a ``Range`` request (RFC 9110, section 14); a server that does not know it
sends the whole file, and we start over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pooch
import requests
from tqdm import tqdm

from helpers.data.entry import FileSpec
from helpers.errors import DataError

_CHUNK = 1 << 16  # bytes
_CONNECT_AND_READ_S = (10.0, 60.0)
_ATTEMPTS = 3  # in one call, each from where the last one stopped


class _BrokenOff(requests.RequestException):
    """The transfer ended before the file did."""


_WORTH_ANOTHER_TRY = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    _BrokenOff,
)


def fetch_file(spec: FileSpec, folder: Path, progress: bool = True) -> Path:
    """Return the path of the file `spec` in `folder`, fetching it unless a good copy is there.

    A copy whose SHA-256 is not the pinned one is thrown away and fetched again.

    Raises
    ------
    DataError
        If the network, the server or the hash is in the way; it names which.
    """
    resumes = _part(spec, folder).exists()
    try:
        path = pooch.retrieve(
            url=spec.url,
            known_hash=f"sha256:{spec.sha256}",
            fname=spec.name,
            path=folder,
            downloader=_ResumingDownloader(spec, folder, progress),
        )
    except requests.RequestException as error:
        raise DataError(_could_not_download(spec, folder, error)) from error
    except ValueError as error:
        if resumes:  # what we had kept may be to blame; it is gone now, so begin afresh
            return fetch_file(spec, folder, progress)
        raise DataError(
            f"What {spec.url} sent is not the pinned file (its SHA-256 is not "
            f"{spec.sha256}); it was thrown away. A proxy may have altered it: try another "
            "network."
        ) from error
    return Path(path)


def _could_not_download(spec: FileSpec, folder: Path, error: Exception) -> str:
    part = _part(spec, folder)
    kept = (
        f" ({part.stat().st_size:,} bytes are kept; the next attempt resumes from there)"
        if part.exists() and part.stat().st_size
        else ""
    )
    return f"Could not download {spec.url} into {folder}: {_reason(spec, error)}{kept}."


def _reason(spec: FileSpec, error: Exception) -> str:
    """Say in plain words what requests reports with its whole stack of pools and retries."""
    host = urlsplit(spec.url).netloc
    if isinstance(error, requests.Timeout):
        return f"{host} did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the server closed before the end of the file"
    if isinstance(error, requests.ConnectionError):
        return f"no connection to {host}; is this machine online?"
    return str(error)


def _part(spec: FileSpec, folder: Path) -> Path:
    return folder / f"{spec.name}.part"


class _ResumingDownloader:
    """A downloader as pooch calls it: ``downloader(url, output_file, pooch)``."""

    def __init__(self, spec: FileSpec, folder: Path, progress: bool) -> None:
        self.spec = spec
        self.part = _part(spec, folder)
        self.progress = progress

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._receive(url)
                break
            except _WORTH_ANOTHER_TRY:
                if attempt == _ATTEMPTS:
                    raise
        self.part.replace(output_file)

    def _receive(self, url: str) -> None:
        """Append to the part file until the server has sent everything."""
        have = self.part.stat().st_size if self.part.exists() else 0
        # identity: a byte range of a compressed transfer would be a range of something else
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=_CONNECT_AND_READ_S) as reply:
            if reply.status_code == requests.codes.requested_range_not_satisfiable:
                self.part.unlink()  # longer than the file itself: not a beginning of it
                raise _BrokenOff(f"the {have:,} bytes kept were not a beginning of the file")
            reply.raise_for_status()
            start = have if _continues(reply, have) else 0
            self._append(reply, start)

    def _append(self, reply: requests.Response, start: int) -> None:
        total = start + int(reply.headers.get("Content-Length", 0)) or None
        with (
            self.part.open("r+b" if start else "wb") as file,
            tqdm(
                desc=self.spec.name,
                total=total,
                initial=start,
                unit="B",
                unit_scale=True,
                disable=not self.progress,
            ) as bar,
        ):
            file.seek(start)
            for chunk in reply.iter_content(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > 2 * self.spec.size + _CHUNK:
                    self.part.unlink()
                    raise DataError(
                        f"What {self.spec.url} sends goes on beyond twice the {self.spec.size:,} "
                        "bytes of the pinned file; it was broken off. A proxy may have altered "
                        "it: try another network."
                    )
            end = file.tell()
        if total is not None and end != total:
            raise _BrokenOff(f"the server closed after {end:,} of {total:,} bytes")


def _continues(reply: requests.Response, have: int) -> bool:
    """Whether the reply starts at byte `have`, as asked, rather than at the beginning."""
    if reply.status_code != requests.codes.partial_content:
        return False
    return reply.headers.get("Content-Range", "").startswith(f"bytes {have}-")
