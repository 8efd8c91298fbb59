import functools
import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from eval import downloads
from eval.datasets import open_dataset
from eval.downloads import DownloadError, Source, fetch, files_md5, pixels_sha256


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the web: (path, address). The cache is empty, and no proxy is asked."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = functools.partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def png(level):
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (level, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def md5_of(*contents):
    each = "".join(hashlib.md5(content).hexdigest() for content in contents)
    return hashlib.md5(each.encode()).hexdigest()


def photo_by_photo(site, monkeypatch):
    folder, address = site
    (folder / "x.png").write_bytes(png(10))
    (folder / "y.png").write_bytes(png(20))
    pixels = hashlib.sha256()
    for name, level in (("0.png", 10), ("1.png", 20)):
        pixels.update(f"{name} 4 6\n".encode() + bytes([level, 0, 0]) * 24)
    source = Source(
        "https://example.org",
        {"0.png": f"{address}/x.png", "1.png": f"{address}/y.png"},
        f"pixels:{pixels.hexdigest()}",
    )
    monkeypatch.setitem(downloads.SOURCES, "pair", source)


def test_photos_are_fetched_once_and_then_kept(site, tmp_path, monkeypatch):
    photo_by_photo(site, monkeypatch)
    dataset = open_dataset("pair")
    assert dataset.name == "pair"
    assert [entry.name for entry in dataset] == ["0.png", "1.png"]
    assert dataset.entries[1].load()[0, 0, 0, 0] == pytest.approx(20 / 255)
    assert fetch("pair") == tmp_path / "cache" / "triptych" / "pair"
    assert [path.name for path in downloads.cache().iterdir()] == ["pair"]
    (site[0] / "x.png").unlink()
    assert len(open_dataset("pair")) == 2


def test_a_folder_of_that_name_is_used_instead(site, tmp_path, monkeypatch):
    photo_by_photo(site, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pair").mkdir()
    (tmp_path / "pair" / "own.png").write_bytes(png(5))
    assert [entry.name for entry in open_dataset("pair")] == ["own.png"]
    assert not downloads.cache().exists()


def test_other_pixels_are_refused_and_not_kept(site, monkeypatch):
    photo_by_photo(site, monkeypatch)
    (site[0] / "y.png").write_bytes(png(21))
    with pytest.raises(DownloadError, match="What came as pair is not that test set: expected pix"):
        fetch("pair")
    (site[0] / "y.png").write_bytes(b"<html>")
    with pytest.raises(DownloadError, match="not that test set"):
        fetch("pair")
    assert list(downloads.cache().iterdir()) == []


def test_what_is_not_there_is_told_with_what_to_do(site, monkeypatch):
    photo_by_photo(site, monkeypatch)
    (site[0] / "y.png").unlink()
    with pytest.raises(
        DownloadError, match=r"pair could not be downloaded .*404.*--data path/to/p"
    ):
        fetch("pair")
    assert list(downloads.cache().iterdir()) == []


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives_give_the_photos_of_one_folder(site, monkeypatch, kind):
    folder, address = site
    members = {
        "top/photos/b.png": png(2),
        "top/photos/a.png": png(1),
        "top/photos/small/c.png": png(3),
        "top/readme.txt": b"hello",
        "../../outside.png": png(4),
    }
    archive = folder / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
    else:
        with tarfile.open(archive, "w:gz") as file:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    source = Source(
        "https://example.org",
        {"": f"{address}/set.{kind}"},
        f"files:{md5_of(png(1), png(2))}",
        "top/photos",
    )
    monkeypatch.setitem(downloads.SOURCES, "packed", source)
    assert sorted(path.name for path in fetch("packed").iterdir()) == ["a.png", "b.png"]

    archive.write_bytes(archive.read_bytes()[:100])
    monkeypatch.setitem(downloads.SOURCES, "torn", source)
    with pytest.raises(DownloadError):
        fetch("torn")


def test_public_sets_are_described_whole():
    counts = {name: len(source.files) for name, source in downloads.SOURCES.items()}
    assert counts == {"cbsd68": 68, "set14": 14, "kodak24": 1, "urban100": 1}
    for source in downloads.SOURCES.values():
        assert all(url.startswith("https://") for url in [source.home, *source.files.values()])
        kind, _, digest = source.checksum.partition(":")
        assert len(digest) == {"pixels": 64, "files": 32}[kind]


def test_checksums_tell_content_and_names(tmp_path):
    for name, level in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(png(level))
    assert pixels_sha256(tmp_path / "a") == pixels_sha256(tmp_path / "b")
    assert pixels_sha256(tmp_path / "a") != pixels_sha256(tmp_path / "c")
    assert files_md5(tmp_path / "a") == md5_of(png(1)) != files_md5(tmp_path / "c")
    (tmp_path / "b" / "0.png").rename(tmp_path / "b" / "1.png")
    assert pixels_sha256(tmp_path / "a") != pixels_sha256(tmp_path / "b")
