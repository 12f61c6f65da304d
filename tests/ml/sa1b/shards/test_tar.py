"""The header walk against tarfile, and against archives that must not be trusted."""

import io
import tarfile
from pathlib import Path

import pytest

from ml.sa1b.shards.tar import tar_fault, walk

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def build(path: Path, infos: list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.GNU_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for info, data in infos:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def plain(name: str, data: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), data


@pytest.mark.parametrize("form", FORMATS)
def test_members_are_those_of_tarfile(tmp_path: Path, form: int) -> None:
    names = ["sa_1.jpg", "./sa_1.json", "folder/" + "n" * 90 + ".jpg", "empty.json"]
    if form != tarfile.USTAR_FORMAT:
        names += ["long/" + "m" * 180 + ".json", "ünï.jpg"]
    path = build(tmp_path / "a.tar", [plain(name, name.encode() * n) for n, name in enumerate(names)], form)
    with tarfile.open(path) as tar:
        expected = [(info.name, info.offset_data, info.size) for info in tar]
    assert [(member.name, member.offset, member.size) for member in walk(path)] == expected
    assert not any(member.fault for member in walk(path))
    assert tar_fault(path) == ""


@pytest.mark.parametrize("name", ["/etc/passwd", "../sa_1.jpg", "a/../../sa_1.jpg", "sa\n1.jpg"])
def test_unsafe_names(tmp_path: Path, name: str) -> None:
    path = build(tmp_path / "a.tar", [plain(name), plain("sa_1.jpg")])
    first, second = walk(path)
    assert first.fault == "a path that is absolute or leaves the archive"
    assert (second.name, second.fault) == ("sa_1.jpg", "")


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (tarfile.SYMTYPE, "a symbolic link, not a file"),
        (tarfile.LNKTYPE, "a hard link, not a file"),
        (tarfile.CHRTYPE, "a device, not a file"),
        (tarfile.BLKTYPE, "a device, not a file"),
        (tarfile.FIFOTYPE, "a pipe, not a file"),
        (b"S", "a special member, not a file"),
    ],
)
def test_what_is_not_a_file(tmp_path: Path, kind: bytes, fault: str) -> None:
    info = tarfile.TarInfo("sa_1.jpg")
    info.type, info.linkname = kind, "/etc/passwd"
    path = build(tmp_path / "a.tar", [(info, b""), plain("sa_2.jpg")])
    assert [member.fault for member in walk(path)] == [fault, ""]


def test_cut_inside_a_member(tmp_path: Path) -> None:
    path = build(tmp_path / "a.tar", [plain("a", b"x" * 600), plain("b", b"x" * 2000)])
    path.write_bytes(path.read_bytes()[: 512 + 1024 + 512 + 700])
    assert [member.fault for member in walk(path)] == [
        "",
        "the archive ends inside this member",
        "the archive is cut: 2748 bytes, no end marker",
    ]
    assert "cut" in tar_fault(path)


def test_cut_between_members(tmp_path: Path) -> None:
    path = build(tmp_path / "a.tar", [plain("a", b"x" * 600), plain("b")])
    path.write_bytes(path.read_bytes()[: 512 + 1024])
    first, last = walk(path)
    assert first.fault == ""
    assert last.fault == "the archive is cut: 1536 bytes, no end marker"


def test_wrong_checksum(tmp_path: Path) -> None:
    path = build(tmp_path / "a.tar", [plain("a")])
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    assert [member.fault for member in walk(path)] == ["a tar header with a wrong checksum"]


def test_a_size_beyond_all_files(tmp_path: Path) -> None:
    info = tarfile.TarInfo("bomb.json")
    info.size = 2**70
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert [member.fault for member in walk(path)] == [
        "the archive ends inside this member",
        "the archive is cut: 1536 bytes, no end marker",
    ]
    assert "cut" in tar_fault(path)


def test_a_name_of_a_gigabyte(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.size, info.type = 2**30, tarfile.GNUTYPE_LONGNAME
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert [member.fault for member in walk(path)] == ["a tar name or pax header of 1073741824 bytes"]


def test_not_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"<html>" + b" " * 2000)
    assert tar_fault(path).startswith("not a tar")
    assert all(member.fault for member in walk(path))
