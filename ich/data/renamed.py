"""A cohort's files under pseudonyms: whoever reads them hears no name, and no id of a header."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from ich.ct.dicom import Header, Slice
from ich.data.files import Files, Sample
from ich.data.layout import Layout
from ich.data.pseudonym import Pseudonyms


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """Files whose names, and whose headers' ids, are pseudonyms; `originals` has the names that are others."""

    files: Files
    pseudonyms: Pseudonyms
    originals: dict[str, str]

    @property
    def root(self) -> Path:
        return self.files.root

    def read_header(self, name: str, *, spacing_required: bool) -> tuple[Header, Sample]:
        header, sample = self.files.read_header(self._original(name), spacing_required=spacing_required)
        return self._rename(header), sample

    def same(self, name: str) -> str:
        return self.files.same(self._original(name))

    def read_slice(self, name: str, *, spacing_required: bool) -> Slice:
        one = self.files.read_slice(self._original(name), spacing_required=spacing_required)
        return replace(one, header=self._rename(one.header))

    def read_raw(self, name: str) -> tuple[Integer[np.ndarray, "height width"], Layout]:
        return self.files.read_raw(self._original(name))

    def part(self, names: Sequence[str]) -> tuple[Files, list[str]]:
        """These files under their own names: for what is not told on, such as pixels."""
        return self.files.part([self._original(name) for name in names])

    def _original(self, name: str) -> str:
        return self.originals.get(name, name)

    def _rename(self, header: Header) -> Header:
        of = self.pseudonyms.of
        return replace(
            header,
            image_id=of(header.image_id),
            series_id=of(header.series_id),
            study_id=of(header.study_id),
            patient_id=of(header.patient_id),
        )


CohortFiles = Files | Renamed
"""What a cohort reads, by the names in its table."""


def rename(files: Files, names: Sequence[str], pseudonyms: Pseudonyms) -> tuple[CohortFiles, list[str]]:
    """The files under the pseudonyms of these names, and those; where names stay, the files themselves."""
    if pseudonyms.key_file is None:
        return files, [*names]
    given = [pseudonyms.of_file(name) for name in names]
    originals = {new: old for new, old in zip(given, names, strict=True) if new != old}
    return Renamed(files=files, pseudonyms=pseudonyms, originals=originals), given
