"""Which shards a source has, and bringing one in."""

import hashlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ml.errors import UserError
from ml.params import Params
from ml.sa1b.sources import download
from ml.sa1b.sources import listing as sources
from ml.sa1b.sources.listing import expected_md5, fetch, list_shards
from ml.sa1b.sources.remote import read_links
from ml.workspace import Workspace
from ml.workspace.settings import preset

LINK = "https://cdn.example/sa.tar?x=1"


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(download, "BACKOFF", 0.001)
    return Workspace(tmp_path)


def params(source: str, count: int | None = None, checksums: str | None = None) -> Params:
    base = preset("toytown")
    changes = {"source": source, "count": count, "checksums": checksums, "retries": 1}
    return base.model_copy(update={"shards": base.shards.model_copy(update=changes)})


@pytest.mark.parametrize("source", ["toytown", "https://mirror.example/sa1b", "http://mirror.example"])
def test_numbered_sources(source: str, ws: Workspace) -> None:
    assert list_shards(params(source, 3), ws) == ["sa_000000", "sa_000001", "sa_000002"]
    with pytest.raises(UserError, match=r"shards\.count: null"):
        list_shards(params(source), ws)


def test_folder(ws: Workspace) -> None:
    for name in ("sa_000010.tar", "sa_000002.tar", "notes.txt"):
        (ws.root / name).touch()
    assert list_shards(params("."), ws) == ["sa_000002", "sa_000010"]
    assert list_shards(params(".", 1), ws) == ["sa_000002"]


def test_empty_folder(ws: Workspace) -> None:
    with pytest.raises(UserError, match=r"no \.tar in it"):
        list_shards(params("."), ws)


def test_links(ws: Workspace) -> None:
    (ws.root / "links.txt").write_text(f"file_name\tcdn_link\nsa_000020.tar\t{LINK}\nsa_000003.tar\t{LINK}\n\n")
    assert list_shards(params("links.txt"), ws) == ["sa_000003", "sa_000020"]
    assert read_links(ws.root / "links.txt")["sa_000020.tar"] == LINK


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sa_1.tar https://x", "links.txt:1: .* a tab and an http"),
        ("sa_1.tar\tfile:///etc/passwd", "links.txt:1"),
        (f"file_name\tcdn_link\na.tar\t{LINK}\na.tar\t{LINK}", "links.txt:3: a.tar is there a second time"),
        (f"../a.tar\t{LINK}", "is not the name of a shard"),
        (f"a.zip\t{LINK}", "is not the name of a shard"),
        ("", "no .tar in it"),
        (f"a.tar    {LINK}", "links.txt:1: .* a tab and an http"),
        (f"{LINK}\ta.tar", "links.txt:1"),
        (f"a.tar\t{LINK}\tmore", "links.txt:1"),
        (f"a.tar\n\x0ca.tar\x0c\t{LINK}", "links.txt:1: 'a.tar'; file_name"),
        (f"a\u2028.tar\t{LINK}", "is not the name of a shard"),
        ("a.tar\thttps://x/a\u2028b?x=1", "links.txt:1"),
        (f"{LINK}\t{LINK}\n{LINK}\t{LINK}", "links.txt:2: https://cdn.example/sa.tar is there a second time"),
        (f"{LINK}\t{LINK}", "is not the name of a shard"),
        (f"{'a' * 300}.tar\t{LINK}", "is not the name of a shard"),
        ("a" * 10_000_000 + f"\t{LINK}", "is not the name of a shard"),
        ("\n\n" + "a" * 10_000_000, "links.txt:3: 'aaaa"),
    ],
)
def test_links_that_are_none(ws: Workspace, text: str, message: str) -> None:
    (ws.root / "links.txt").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        list_shards(params("links.txt"), ws)
    assert "x=1" not in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_links_of_another_system(ws: Workspace) -> None:
    text = f"\ufefffile_name\tcdn_link\r\nsa_000020.tar\t{LINK}\r\n\x0c\r\n sa_000003.tar \t {LINK} \r\n"
    (ws.root / "links.txt").write_bytes(text.encode())
    assert read_links(ws.root / "links.txt") == {"sa_000020.tar": LINK, "sa_000003.tar": LINK}


def test_a_source_that_is_not_there(ws: Workspace) -> None:
    with pytest.raises(UserError, match="allowed: toytown, a folder, a links file"):
        list_shards(params("nowhere"), ws)


def test_a_folder_is_used_in_place(ws: Workspace, shard: Path) -> None:
    (ws.root / "in").mkdir()
    source = shard.rename(ws.root / "in" / "sa_000000.tar")
    out = ws.shard_file("sa1b_shards", "sa_000000", ".tar")
    for _ in range(2):
        report = fetch("sa_000000", params("in"), ws)
        assert out.samefile(source)
        assert [path.name for path in out.parent.iterdir()] == ["sa_000000.tar"]
    assert report.numbers["bytes"] == source.stat().st_size


@pytest.mark.parametrize("across_disks", [False, True])
def test_a_tar_that_is_replaced_while_it_is_checked(
    ws: Workspace, shard: Path, across_disks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hard link keeps the tar that was checked; a symbolic link would lead to the other one."""
    (ws.root / "in").mkdir()
    source = shard.rename(ws.root / "in" / "sa_000000.tar")
    data = source.read_bytes()

    def replaced(path: Path, md5: str | None) -> str:
        (ws.root / "new").write_bytes(b"another")
        (ws.root / "new").replace(source)
        return ""

    monkeypatch.setattr(sources, "fault", replaced)
    if across_disks:
        monkeypatch.setattr(Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(OSError(18, "Cross-device link")))
        with pytest.raises(UserError, match="was changed while it was checked"):
            fetch("sa_000000", params("in"), ws)
        assert not any(ws.stage("sa1b_shards").iterdir())
    else:
        fetch("sa_000000", params("in"), ws)
        assert ws.shard_file("sa1b_shards", "sa_000000", ".tar").read_bytes() == data


def test_a_tar_that_is_written_to_while_it_is_checked(
    ws: Workspace, shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ws.root / "in").mkdir()
    source = shard.rename(ws.root / "in" / "sa_000000.tar")
    monkeypatch.setattr(sources, "fault", lambda path, md5: source.write_bytes(b"more") and "")
    with pytest.raises(UserError, match="was changed while it was checked"):
        fetch("sa_000000", params("in"), ws)
    assert not any(ws.stage("sa1b_shards").iterdir())


def test_a_folder_without_the_shard(ws: Workspace) -> None:
    (ws.root / "in").mkdir()
    with pytest.raises(UserError, match="no such shard"):
        fetch("sa_000000", params("in"), ws)


def serve(folder: Path) -> ThreadingHTTPServer:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=httpd.serve_forever, daemon=True).start()
    return httpd


def test_a_web_base_with_checksums(ws: Workspace, shard: Path) -> None:
    data = shard.read_bytes()
    (ws.root / "sums.txt").write_text(f"{hashlib.md5(data).hexdigest()}  sa_000000.tar\n")
    with serve(shard.parent) as server:
        base = f"http://127.0.0.1:{server.server_port}/"
        fetch("sa_000000", params(base, 1, "sums.txt"), ws)
        assert ws.shard_file("sa1b_shards", "sa_000000", ".tar").read_bytes() == data
        (ws.root / "sums.txt").write_text(f"{'0' * 32}  sa_000000.tar\n")
        with pytest.raises(UserError, match=f"md5 {hashlib.md5(data).hexdigest()}, 0000"):
            fetch("sa_000000", params(base, 1, "sums.txt"), ws)
        server.shutdown()


def test_an_error_page_is_no_shard(ws: Workspace) -> None:
    (ws.root / "sa_000000.tar").write_bytes(b"<html>" + b" " * 4000)
    with serve(ws.root) as server:
        with pytest.raises(UserError, match="not a tar"):
            fetch("sa_000000", params(f"http://127.0.0.1:{server.server_port}", 1), ws)
        server.shutdown()


def test_links_are_read_again_on_each_attempt(ws: Workspace, shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first link has expired; by the second attempt someone has brought the file up to date."""
    links = ws.root / "links.txt"
    with serve(shard.parent) as server:
        base = f"http://127.0.0.1:{server.server_port}"
        links.write_text(f"sa_000000.tar\t{base}/expired.tar\n")
        good = f"sa_000000.tar\t{base}/sa_000000.tar\n"
        monkeypatch.setattr(download.time, "sleep", lambda seconds: links.write_text(good))
        fetch("sa_000000", params("links.txt"), ws)
        server.shutdown()
    assert ws.shard_file("sa1b_shards", "sa_000000", ".tar").read_bytes() == shard.read_bytes()


@pytest.mark.parametrize(
    "text",
    ["{md5}  sa_000000.tar", "\ufeff{MD5} *tars/sa_000000.tar\r\n", "\n{md5}\tsa_000000.tar\n{md5}  ./sa_000000.tar"],
)
def test_checksums(ws: Workspace, text: str) -> None:
    (ws.root / "sums.txt").write_text(text.format(md5="a" * 32, MD5="A" * 32), encoding="utf-8")
    assert expected_md5("sa_000000", params("x", 1, "sums.txt"), ws) == "a" * 32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{md5}\nsa_000000.tar", "sums.txt:1: .*; an md5, blanks and a name are wanted"),
        ("{md5}  a.tar\nsa_000000.tar {md5}", "sums.txt:2"),
        ("{md5}  sa_000000.tar\n{other}  sa_000000.tar", "sums.txt:2: another md5 for sa_000000.tar"),
        ("x" * 1_000_000, "sums.txt:1: 'xxx"),
    ],
)
def test_checksums_that_are_none(ws: Workspace, text: str, message: str) -> None:
    (ws.root / "sums.txt").write_text(text.format(md5="a" * 32, other="b" * 32))
    with pytest.raises(UserError, match=message) as error:
        expected_md5("sa_000000", params("x", 1, "sums.txt"), ws)
    assert len(str(error.value)) < 300


def test_checksums_that_lack_the_shard(ws: Workspace) -> None:
    (ws.root / "sums.txt").write_text(f"{'a' * 32}  other.tar\n")
    with pytest.raises(UserError, match=r"no line for sa_000000\.tar"):
        expected_md5("sa_000000", params("x", 1, "sums.txt"), ws)
    with pytest.raises(UserError, match="is not readable"):
        expected_md5("sa_000000", params("x", 1, "none.txt"), ws)
    assert sources.expected_md5("sa_000000", params("x", 1), ws) is None
