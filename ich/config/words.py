"""The words of a command line as Hydra's overrides; a value that Hydra's grammar cannot say is taken as it stands."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, ValueType
from hydra.errors import HydraException

from ich.config.mistakes import COMMAND_LINE, Mistake

_CALL = re.compile(r"(choice|range|interval|glob|sort|shuffle|tag|int|float|str|bool) ?\(")
"""What begins like one of Hydra's functions is no path, and what is wrong with it is said in Hydra's words."""
_VALUE = re.compile(r"""('[^']*'|"[^"]*"|[^,]+)(?:,|$)""")
"""One value of a sweep; a comma between quotes is part of it."""


@contextmanager
def hydra_at(conf: Path) -> Iterator[ConfigLoader]:
    """Hydra's own reader of the files in `conf`."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield hydra.config_loader


def parse(words: Sequence[str], conf: Path, *, multirun: bool = False) -> tuple[list[Override], list[Mistake]]:
    """The overrides among words, and the words that are none. Only in a multirun does a comma divide values."""
    parsed, mistakes = [], []
    with hydra_at(conf) as loader:
        parser = OverridesParser.create(config_loader=loader)
        for word in words:
            if word.startswith("-"):
                mistakes.append(Mistake(key=word, what=_no_flag(word), where=COMMAND_LINE))
                continue
            try:
                one = _override(parser, word, multirun=multirun)
            except HydraException as error:
                key, what = _no_override(word, error)
                mistakes.append(Mistake(key=key, what=what, where=COMMAND_LINE))
            else:
                one.config_loader = loader  # which glob(…) asks for the choices of its group
                parsed.append(one)
    return parsed, mistakes


def as_one_value(one: Override) -> Override:
    """An override whose commas are part of its value: `input=/data/a,b`."""
    word = f"{one.get_key_element()}={quoted(one.get_value_string())}"
    return OverridesParser.create(config_loader=one.config_loader).parse_override(word)


def has_commas(one: Override) -> bool:
    """Whether only its commas make an override a sweep: `a,b`, not choice(a,b)."""
    return one.value_type == ValueType.SIMPLE_CHOICE_SWEEP


def quoted(value: str) -> str:
    """A text as Hydra's grammar says it. What stands in quotes as YAML has them ('it''s') is what they enclose."""
    quote = value[:1]
    if len(value) > 1 and quote in ("'", '"') and value.endswith(quote):
        value = value[1:-1].replace(2 * quote, quote)
    return QuotedString(value, Quote.single).with_quotes()


def _override(parser: OverridesParser, word: str, *, multirun: bool) -> Override:
    """What a word says. Raises HydraException where its key is none, or a function is called wrongly."""
    key, equals, value = word.partition("=")
    try:
        return parser.parse_override(word if key else "")
    except HydraException:
        if not key or not equals or _CALL.match(value):
            raise
        parser.parse_override(f"{key}=")
        values = _VALUE.findall(value) if multirun else [value]
        said = [one if _parses(parser, f"{key}={one}") else quoted(one) for one in values]
        return parser.parse_override(f"{key}={','.join(said)}")


def _parses(parser: OverridesParser, word: str) -> bool:
    try:
        parser.parse_override(word)
    except HydraException:
        return False
    return True


def _no_override(word: str, error: HydraException) -> tuple[str, str]:
    """The key, and what is wrong with the word."""
    key, equals, value = word.partition("=")
    if equals and _CALL.match(value):
        return key, "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return word, "a command line has key=value, such as optimizer.lr=1e-3"


def _no_flag(flag: str) -> str:
    name, equals, value = flag.lstrip("-").partition("=")
    return f"there is no such flag; write {name}={value}" if equals else "there is no such flag; see --help"
