"""Ids and names of files as keyed digests: what is written names no patient, and the same id is the same everywhere.

A digest without a key is no pseudonym: whoever knows what a patient number looks like tries them all. The key lies in
a file of its own, outside of every run. Ids of RSNA 2019's own form (`ID_000012eaf`) are pseudonyms already and stay.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath

import pandas as pd
from filelock import FileLock

from ich.errors import InputError, keep_private

OWN = r"ID_[0-9a-f]{8,10}"
"""RSNA 2019's ids: of a patient 8 digits, of an image 9, of a study or series 10."""
SUFFIXES = (".dcm", ".dicom", ".ima")
"""What a DICOM file's name may end with, in small letters; after another dot any part of a name may stand."""
DIGEST_BYTES, KEY_BYTES = 8, 32
LEAST_BYTES, MOST_BYTES = 16, 64
"""Of a key from elsewhere: BLAKE2b takes 64 at most (RFC 7693)."""
_OWN = re.compile(OWN)
_OWN_FILE = re.compile(rf"({OWN}/)*{OWN}(\.dcm)?")
_DIGEST = re.compile(rf"\b[0-9a-f]{{{2 * DIGEST_BYTES}}}\b")


class BadKey(InputError):
    """A file that is no key, or cannot be made one."""


class BadNames(InputError):
    """There is no place for the table of names."""


class Pseudonyms:
    """Names by the key in a file, which is made where it is first needed; with None every name stays as it is."""

    def __init__(self, key_file: Path | None) -> None:
        self.key_file = key_file
        self._asked = False
        self._known: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The digest of an id, 16 hexadecimal digits; one of RSNA's own form as it is. Raises BadKey."""
        self._asked = True
        if self.key_file is None or _OWN.fullmatch(name):
            return name
        content = name.encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(content, key=self._key, digest_size=DIGEST_BYTES).hexdigest()
        self._known[digest] = name
        return digest

    def of_all(self, names: Iterable[str]) -> list[str]:
        return [self.of(name) for name in names]

    def rename(self, index: pd.Index) -> pd.Index:
        """An index of ids; of a table of the challenge's, it is that itself."""
        self._asked = True
        if self.key_file is None or index.str.fullmatch(OWN).all():
            return index
        return pd.Index(self.of_all(index), name=index.name)

    def of_file(self, name: str) -> str:
        """A name below a root, folder by folder. What stands before .dcm has the digest of an image called so."""
        self._asked = True
        if self.key_file is None or _OWN_FILE.fullmatch(name):
            return name
        return "/".join(map(self._of_part, name.split("/")))

    def among(self, name: str, known: Container[str]) -> str:
        """What people call one of the known: by its digest already, or by the id itself."""
        return name if name in known else self.of(name)

    @property
    def were_given(self) -> bool:
        """Whether any name so far is a digest now."""
        return bool(self._known)

    @property
    def identity(self) -> bytes:
        """What other names would not have: nothing where names stay or no key can be had, else a digest of the key."""
        if self.key_file is None:
            return b""
        try:
            return b"pseudonymous " + hashlib.blake2b(b"", key=self._key, digest_size=DIGEST_BYTES).digest()
        except BadKey:  # RSNA's own ids do without
            return b"pseudonymous"

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """What is refused in the block is said with the names themselves, on the screen; no record keeps its words.

        Where every name so far was RSNA's own, there is nothing to hide.
        """
        try:
            yield
        except Exception as error:
            if self.key_file is not None and (self.were_given or not self._asked):
                keep_private(error)
                if isinstance(error, InputError) and len(error.args) == 1:
                    error.args = (self.reveal(str(error)),)
            raise

    def reveal(self, text: str) -> str:
        """A text for the screen: every name that was given, instead of its digest."""
        return _DIGEST.sub(lambda found: self._known.get(found[0], found[0]), text)

    def _of_part(self, part: str) -> str:
        path = PurePosixPath(part)
        if part in (".", ".."):
            return part
        return self.of(path.stem) + path.suffix if path.suffix.lower() in SUFFIXES else self.of(part)

    @cached_property
    def _key(self) -> bytes:
        assert self.key_file is not None
        return read_key(self.key_file)


AS_THEY_ARE = Pseudonyms(None)
"""Names that stay."""


def read_key(path: Path) -> bytes:
    """The key in a file, in hexadecimal digits; where there is none, 32 random bytes become one. Raises BadKey.

    Only its owner can read a new one. It appears whole, and once for all processes.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                if not path.exists():
                    _write_private(path, f"{secrets.token_hex(KEY_BYTES)}\n")
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        way_out = "pseudonym_key names a place for it, pseudonymize=false does without"
        raise BadKey(f"{path}: no key of pseudonyms can be made or read here: {error.strerror}; {way_out}") from error
    except ValueError as error:
        raise _no_key(path) from error
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise _no_key(path)
    return key


def _no_key(path: Path) -> BadKey:
    what = f"no key of pseudonyms: it holds {2 * LEAST_BYTES} to {2 * MOST_BYTES} hexadecimal digits and nothing else"
    return BadKey(f"{path}: {what}; pseudonym_key names another file, and one that is not there yet is made")


def write_names(path: Path, names: Mapping[str, str]) -> None:
    """file,name: which file each digest is, for its owner's eyes alone. Raises BadNames."""
    table = pd.DataFrame({"file": list(names), "name": list(names.values())})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_private(path, table.to_csv(index=False))
    except OSError as error:
        raise BadNames(f"{path}: cannot be written: {error.strerror}; names= takes a file") from error


def _write_private(path: Path, text: str) -> None:
    """A file that only its owner can read, and that appears whole."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
