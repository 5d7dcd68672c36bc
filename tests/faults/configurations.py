"""Hundreds of damaged experiment files and command lines: python -m tests.faults.configurations

    python -m tests.faults.configurations --count 500 --seed 0

Each is found right, or refused with every mistake named; nothing else is raised, and nothing takes five seconds.
"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from ich.config import files
from ich.config.check import check_command
from ich.config.mistakes import BadConfig
from tests.faults.damage import GENERAL, command, damaged
from tests.faults.tables import swap_lines
from train import Keys

SLOWEST_SECONDS = 5.0
VALUES = (
    "", "null", "???", "${seed}", "${optimizer.lr}", "${a.b.c}", "${oc.env:HOME}", "${oc.env:NONE}", "${.lr}", "${..}",
    "${", "-1", "0", "1e400", ".nan", ".inf", "9" * 400, "true", "[]", "{}", "[[[]]]", "{a: {b: {c: 1}}}", "'", '"',
    "*x", "&x 1", "!!python/object/apply:os.system [touch sprung]", "!!binary aGk=", "2020-01-01", "0x10", "1_000", "~",
    "<<", "\t", "\0", "_target_", "choice(1,2)", "range(1,0)", "glob(*)", "1,2,3", "../../etc/passwd", "\u202e",
    "a" * 5000,
)  # fmt: skip
KEYS = (
    "optimizer.lr", "seed", "model.name", "window.windows", "window.windows.0.width", "data.root", "data", "experiment",
    "trainer.devices", "hydra.run.dir", "augment.transforms", "loss", "geometry", "fit", "checkpoint", "x", "", "~data",
)  # fmt: skip


def change_a_value(data: bytearray, random: Random) -> None:
    lines = bytes(data).split(b"\n")
    row = random.randrange(len(lines))
    key = lines[row].partition(b":")[0]
    lines[row] = key + b": " + random.choice(VALUES).encode()
    data[:] = b"\n".join(lines)


def change_a_key(data: bytearray, random: Random) -> None:
    lines = bytes(data).split(b"\n")
    row = random.randrange(len(lines))
    indent = b" " * random.choice((0, 2, 4))
    lines.insert(row, indent + random.choice(VALUES).encode() + b": " + random.choice(VALUES).encode())
    data[:] = b"\n".join(lines)


KINDS = (*GENERAL, swap_lines, change_a_value, change_a_value, change_a_key, change_a_key)


def a_word(random: Random) -> str:
    before, between = random.choice(("", "", "+", "++")), random.choice(("=", "=", "=", "", "@"))
    return before + random.choice(KEYS) + between + random.choice(VALUES)


def try_one(conf: Path, words: list[str], *, multirun: bool) -> str:
    """The outcome; `wrong` with what was raised."""
    start = time.monotonic()
    try:
        check_command(words, name="train", keys=Keys, conf=conf, multirun=multirun)
        outcome = "right"
    except BadConfig as refused:
        outcome = "refused" if str(refused).strip() else "wrong: refused without a word"
    except BaseException as error:
        outcome = f"wrong: {type(error).__name__}: {error}"[:300]
    seconds = time.monotonic() - start
    return f"wrong: {seconds:.1f} s" if seconds > SLOWEST_SECONDS else outcome


def main(count: int, seed: int) -> list[str]:
    """What was wrong."""
    outcomes: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(shutil.copytree(files.CONF, Path(folder) / "conf"))
        sound = (conf / "experiment" / "demo.yaml").read_bytes()
        try_one(conf, ["experiment=demo"], multirun=False)  # whatever it imports is imported now
        for number in range(count):
            random = Random(f"{seed} {number}")
            multirun = random.random() < 0.2
            if number % 2:
                content, how = damaged(sound, KINDS, random)
                (conf / "experiment" / "mine.yaml").write_bytes(content)
                words = ["experiment=mine"]
            else:
                words = [a_word(random) for _ in range(random.choice((1, 1, 2, 5)))]
                how = repr(words)[:200]
            outcome = try_one(conf, words, multirun=multirun)
            outcomes[outcome.partition(":")[0]] += 1
            if outcome.startswith("wrong"):
                wrong.append(f"{number} ({how}): {outcome}")
    print(dict(outcomes))
    return wrong


if __name__ == "__main__":
    command(main, __doc__.partition("\n")[0], count=500)
