"""Public test sets: where they are, how they are checked, and where they are kept.

They are kept in `$XDG_CACHE_HOME/triptych` (`~/.cache/triptych`) and fetched once. What comes is
compared with a checksum before it is used, since a test set with other pixels makes other tables.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from enhancers import images

PATIENCE_S = 30
_FAILURES = (OSError, EOFError, HTTPException, zlib.error, zipfile.BadZipFile, tarfile.TarError)


class DownloadError(ValueError):
    """A test set cannot be had: why, and what to do instead."""


@dataclass(frozen=True)
class Source:
    """Where a test set comes from and how to know it."""

    home: str
    """Page for people."""
    files: dict[str, str]
    """Address of each photo by the name it gets; or of one archive, by an empty name."""
    checksum: str
    """`pixels:` and `pixels_sha256`, or `files:` and `files_md5`."""
    folder: str = ""
    """Folder of the photos inside the archive."""


_CBSD68 = "https://raw.githubusercontent.com/clausmichele/CBSD68-dataset/master/CBSD68/original_png"
_SET14 = (
    "https://raw.githubusercontent.com/jbhuang0604/SelfExSR/"
    "18e00f2d1bd3941e9b8d4895d3541543ad86d5b2/data/Set14/image_SRF_4"
)

# Checksums of pixels are of the photos that the project's own tables were measured on. Those of
# files are the ones by which deepinv (deepinv/datasets/kodak24.py, urban100.py) knows the sets.
SOURCES: dict[str, Source] = {
    "cbsd68": Source(
        "https://github.com/clausmichele/CBSD68-dataset",
        {f"{i:04}.png": f"{_CBSD68}/{i:04}.png" for i in range(68)},
        "pixels:0cc797de1b1b55bf6f0ee57deaac15f7ca406787fcfc5ee18ae18663133d7cd3",
    ),
    "set14": Source(
        "https://github.com/jbhuang0604/SelfExSR",
        {f"img_{i:03}.png": f"{_SET14}/img_{i:03}_SRF_4_HR.png" for i in range(1, 15)},
        "pixels:0d856acaa1625e4fd61be0ab65d8efc3573695db88e1c5ba8a02c9fd61833c26",
    ),
    "kodak24": Source(
        "https://r0k.us/graphics/kodak/",
        {
            "": "https://github.com/MohamedBakrAli/Kodak-Lossless-True-Color-Image-Suite/"
            "archive/refs/heads/master.zip"
        },
        "files:5b16b585b8f20e8ea62af85837d40e40",
        "Kodak-Lossless-True-Color-Image-Suite-master/PhotoCD_PCD0992",
    ),
    "urban100": Source(
        "https://huggingface.co/datasets/eugenesiow/Urban100",
        {
            "": "https://huggingface.co/datasets/eugenesiow/Urban100/resolve/main/data/"
            "Urban100_HR.tar.gz"
        },
        "files:6e0640850d436a359e0a9baf5eabd27b",
        "Urban100_HR",
    ),
}


def fetch(name: str) -> Path:
    """Return the folder of a test set, after downloading it if it is not there yet.

    Raises DownloadError where it cannot be downloaded or is not the set expected; nothing is kept
    then.
    """
    source, folder = SOURCES[name], cache() / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        fresh = Path(temporary) / name
        fresh.mkdir()
        try:
            for file, content in _contents(name, source):
                (fresh / file).write_bytes(content)
        except _FAILURES as error:
            raise DownloadError(
                f"{name} could not be downloaded ({error}); give a folder of its photos instead, "
                f"as in --data path/to/{name}. Its home is {source.home}."
            ) from error
        _check(name, source, fresh)
        try:
            fresh.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    return folder


def cache() -> Path:
    """Return the folder in which test sets are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triptych"


def pixels_sha256(folder: Path) -> str:
    """Return the SHA-256 of the photos of a folder: name, height, width and bytes of each."""
    digest = hashlib.sha256()
    for file in images.list_images([folder]):
        array = images.to_uint8(images.load(file).pixels)
        digest.update(f"{file.name} {array.shape[0]} {array.shape[1]}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def files_md5(folder: Path) -> str:
    """Return the MD5 of the hexadecimal MD5s of a folder's files, in the order of their names."""
    digest = hashlib.md5()
    for file in sorted(folder.iterdir()):
        digest.update(hashlib.md5(file.read_bytes()).hexdigest().encode())
    return digest.hexdigest()


def _check(name: str, source: Source, folder: Path) -> None:
    kind, _, expected = source.checksum.partition(":")
    try:
        found = {"pixels": pixels_sha256, "files": files_md5}[kind](folder)
    except images.ImageError as error:
        found = str(error)
    if found != expected:
        raise DownloadError(
            f"What came as {name} is not that test set: expected {source.checksum}, got {found}. "
            f"Give a folder of its photos instead; its home is {source.home}."
        )


def _contents(name: str, source: Source) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of a test set."""
    if "" in source.files:
        yield from _unpacked(_read(source.files[""], name), source.folder)
        return
    for file, url in tqdm(source.files.items(), desc=name, unit="photo"):
        yield file, _read(url)


def _read(url: str, name: str = "") -> bytes:
    """Return what an address holds; with a name, with a progress bar."""
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
        size = int(response.headers.get("Content-Length") or 0) or None
        with tqdm(desc=name, total=size, unit="B", unit_scale=True, disable=not name) as bar:
            buffer = io.BytesIO()
            while part := response.read(1 << 20):
                buffer.write(part)
                bar.update(len(part))
    return buffer.getvalue()


def _unpacked(archive: bytes, folder: str) -> Iterator[tuple[str, bytes]]:
    """Yield the files directly in a folder of a zip or tar archive; nothing is written."""
    file = io.BytesIO(archive)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as members:
            for member in _inside(members.namelist(), folder):
                yield PurePosixPath(member).name, members.read(member)
        return
    file.seek(0)
    with tarfile.open(fileobj=file) as members:
        names = [member.name for member in members if member.isfile()]
        for member in _inside(names, folder):
            yield PurePosixPath(member).name, members.extractfile(member).read()


def _inside(names: Iterable[str], folder: str) -> list[str]:
    return [n for n in names if str(PurePosixPath(n).parent) == folder and not n.endswith("/")]
