"""Where a cohort's files lie: in a folder, or in a .zip that is read in place and never unpacked."""

import hashlib
import os
import time
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from ich.ct.dicom import BadSlice, Header, Slice, read_header, read_slice
from ich.ct.elements import MAX_BYTES
from ich.data.layout import Layout, read_raw
from ich.errors import InputError

FRESH_SECONDS = 2.0
"""A file that changed so lately may change again within the same tick of its file system's clock."""
SAMPLE_BYTES = 4096
"""In the middle of a file, where pixels of the head lie: one more page to read."""
LARGE_BYTES, BLOCK = 2**23, 2**20
_ONE_LARGE = Lock()
_LOCAL_HEADER, _LOCAL_BYTES = b"PK\x03\x04", 30
_ENCRYPTED = 1


class BadFiles(InputError):
    """A folder or an archive that cannot be read as one."""


class Sample(NamedTuple):
    """What tells a file from another one with the same header: its length, and a digest of its middle."""

    bytes: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, searched whole."""

    root: Path

    def names(self) -> list[str]:
        """Its files, sorted, with slashes, without hidden ones."""
        found = []
        for folder, _, files in os.walk(self.root):
            above = Path(os.path.relpath(folder, self.root)).as_posix()
            found += [file if above == "." else f"{above}/{file}" for file in files if not file.startswith(".")]
        return sorted(found)

    def read_header(self, name: str, *, spacing_required: bool) -> tuple[Header, Sample]:
        header = read_header(self.root / name, spacing_required=spacing_required)
        return header, self.sample(name)

    def sample(self, name: str) -> Sample:
        """What the file is now. Raises BadSlice."""
        path = self.root / name
        try:
            with path.open("rb") as opened:
                size = opened.seek(0, os.SEEK_END)
                opened.seek(_middle(size))
                return _sample(size, opened.read(SAMPLE_BYTES))
        except OSError as error:
            raise BadSlice(path, "not_dicom", f"the file cannot be read: {error.strerror}") from error

    def same(self, name: str) -> str:
        """What stays while a file is the same one; empty where nobody knows."""
        return _same(self.root / name)

    def read_slice(self, name: str, *, spacing_required: bool) -> Slice:
        return read_slice(self.root / name, spacing_required=spacing_required)

    def read_raw(self, name: str) -> tuple[Integer[np.ndarray, "height width"], Layout]:
        return read_raw(self.root / name)

    def part(self, names: Sequence[str]) -> "tuple[Folder, list[str]]":
        """What another process needs to read these files, and what they are called there."""
        return self, [*names]


class Member(NamedTuple):
    """Where a member of an archive lies, and what the archive says of it."""

    offset: int
    packed: int
    size: int
    crc: int
    method: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A .zip, or a folder in it: members are inflated in memory, one at a time, never beyond what one slice needs."""

    path: Path
    members: dict[str, Member]
    inside: str = ""

    @property
    def root(self) -> Path:
        """What messages call it."""
        return self.path / self.inside

    def names(self) -> list[str]:
        inner = (name.removeprefix(self.inside) for name in self.members if name.startswith(self.inside))
        return sorted(name for name in inner if not name.rpartition("/")[2].startswith("."))

    def under(self, inside: str) -> "Archive":
        """A folder of it; `inside` ends with a slash, or is empty."""
        return replace(self, inside=self.inside + inside)

    def read_header(self, name: str, *, spacing_required: bool) -> tuple[Header, Sample]:
        with self._room(name):
            content = self.read(name)
            header = read_header(content, name=str(self.root / name), spacing_required=spacing_required)
            return header, _sample_of(content)

    def sample(self, name: str) -> Sample:
        """What the file is now. Raises BadSlice."""
        with self._room(name):
            return _sample_of(self.read(name))

    def same(self, name: str) -> str:
        """What stays while the archive is the same one; empty where nobody knows."""
        return _same(self.path)

    def read_slice(self, name: str, *, spacing_required: bool) -> Slice:
        with self._room(name):
            return read_slice(self.read(name), name=str(self.root / name), spacing_required=spacing_required)

    def read_raw(self, name: str) -> tuple[Integer[np.ndarray, "height width"], Layout]:
        return read_raw(self.read(name), name=str(self.root / name))

    def part(self, names: Sequence[str]) -> "tuple[Archive, list[str]]":
        """The same archive with these members alone, and their names."""
        return replace(self, members={self.inside + name: self.members[self.inside + name] for name in names}), [*names]

    def _room(self, name: str) -> AbstractContextManager[object]:
        """What is larger than any usual slice is read one at a time: sixteen threads at once would take gigabytes."""
        return _ONE_LARGE if self.members[self.inside + name].size > LARGE_BYTES else nullcontext()

    def read(self, name: str, limit: int = MAX_BYTES) -> bytes:
        """A member whole; one byte more than `limit` of a larger one. What it says of its own size is not believed."""
        path, member = self.root / name, self.members[self.inside + name]
        most = min(member.size, limit) + 1
        try:
            with self.path.open("rb") as file:
                file.seek(member.offset)
                head = file.read(_LOCAL_BYTES)
                file.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), os.SEEK_CUR)
                packed = file.read(min(member.packed, 2 * limit))
        except OSError as error:
            raise BadSlice(path, "not_dicom", f"the archive cannot be read: {error.strerror}") from error
        try:
            deflated = member.method == zipfile.ZIP_DEFLATED
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most) if deflated else packed[:most]
        except zlib.error as error:
            raise BadSlice(path, "truncated", f"the archive is damaged here ({error}); download it again") from error
        whole = len(content) == member.size and zlib.crc32(content) == member.crc
        if head[:4] != _LOCAL_HEADER or (not whole and len(content) <= limit):
            detail = f"the archive says {member.size:,} bytes and a checksum, and holds others"
            raise BadSlice(path, "truncated", f"{detail}; download it again")
        return content

    def copy(self, name: str, to: Path, *, limit: int) -> None:
        """Unpack one member into a file, a block at a time. Raises BadFiles, also where it holds more than `limit`."""
        path, member = self.root / name, self.members[self.inside + name]
        if member.size > limit:
            detail = f"it says {member.size:,} bytes, where such a table has {limit:,} at most"
            raise BadFiles(f"{path}: {detail}; is it Kaggle's archive? download it again")
        copied = checksum = 0
        try:
            with (
                zipfile.ZipFile(self.path) as archive,
                archive.open(self.inside + name) as packed,
                to.open("wb") as file,
            ):
                while copied <= member.size and (block := packed.read(BLOCK)):
                    file.write(block)
                    copied, checksum = copied + len(block), zlib.crc32(block, checksum)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
            raise BadFiles(f"{path}: it cannot be unpacked ({error}); a damaged archive? download it again") from error
        if copied != member.size or checksum != member.crc:
            raise BadFiles(f"{path}: the archive says {member.size:,} bytes and a checksum, and holds others")


Files = Folder | Archive
"""Names below a root, with slashes, and what the files hold. What cannot be read raises BadSlice."""


def open_archive(path: Path) -> Archive:
    """The members of a .zip. Refused: names that lead outside, names twice, and what only its owner can read."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except Exception as error:  # whatever a damaged directory makes zipfile raise
        raise BadFiles(f"{path}: no .zip can be read: {error}; download it again") from error
    members: dict[str, Member] = {}
    for entry in entries:
        name = entry.filename
        if name in members or name.startswith("/") or "\\" in name or ":" in name or ".." in PurePosixPath(name).parts:
            what = "stands twice" if name in members else "leads outside of it"
            raise BadFiles(f"{path}: {name!a} {what}: this is no archive of Kaggle's; download it again")
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            detail = f"{name!a} is encrypted, or packed by method {entry.compress_type}"
            raise BadFiles(f"{path}: {detail}; unpack the archive, and data.root=FOLDER")
        members[name] = Member(
            entry.header_offset, entry.compress_size, entry.file_size, entry.CRC, entry.compress_type
        )
    return Archive(path=path, members=members)


def _same(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError:
        return ""
    if os.name != "posix" or time.time() - facts.st_ctime < FRESH_SECONDS:
        return ""  # elsewhere st_ctime is when it was made; st_mtime alone can be set, and a copy keeps it
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}"


def _middle(size: int) -> int:
    return max(0, (size - SAMPLE_BYTES) // 2)


def _sample_of(content: bytes) -> Sample:
    middle = _middle(len(content))
    return _sample(len(content), content[middle : middle + SAMPLE_BYTES])


def _sample(size: int, middle: bytes) -> Sample:
    return Sample(size, hashlib.sha256(middle).hexdigest()[:16])
