"""An evaluation whole: what is written and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ich.report.evaluation.answers import Answers
from ich.report.evaluation.bootstrap import Row
from ich.report.evaluation.headers import ByHeader
from ich.report.evaluation.level import Level, Settings
from ich.report.evaluation.sets import CaseSet
from ich.report.evaluation.tables import metric_rows
from ich.report.page import Section

PAGE = "index.html"
Compared = Mapping[str, tuple[float, float, Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """What stands round an evaluation on its page: of a run, its setting and its pictures."""

    title: str = ""
    lead: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    sections: Sequence[Section] = ()
    page: str = PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is written and shown: the levels with what they were made from, and what else is known or was asked for.

    `by_header` are the slices by header group, `by_shift` the same slices at shifts of HU.
    """

    answers: Answers
    levels: Sequence[Level]
    settings: Settings
    by_header: ByHeader | None = None
    by_shift: Sequence[CaseSet] = ()
    compared: Compared | None = None
    other: str = ""
    framing: Framing = field(default_factory=Framing)

    @property
    def metrics(self) -> dict[str, Row]:
        return metric_rows(self.levels)
