"""Thousands of damaged DICOM files through `predict.py` and `python -m ich.prepare`: python -m tests.faults.dicom

    python -m tests.faults.dicom --count 20000 --seed 0       the whole, in a quarter of an hour

Each file is first read alone by a process that is watched: its seconds, its memory, whether it lives. Then chunks of
them, with the undamaged files among them, go through the two commands. Everything is counted, and the last line says
PASSED or FAILED.
"""

import argparse
import csv
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.damage import DICOM, damaged, renamed

REPOSITORY = Path(__file__).resolve().parents[2]
KIT = REPOSITORY.parent / "shared" / "dicom_odd"
CHUNK = 2000
SLOWEST_SECONDS, HANGS_AFTER = 5.0, 30.0
MOST_KB = 300_000
"""Above the same command on the undamaged files."""
SAME = 1e-6
"""Between a probability alone and one in a batch: float32 sums differ by the size of a batch."""
FINDINGS = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")


@dataclass
class Watched:
    """One file read alone."""

    outcome: str
    seconds: float = 0.0
    peak_kb: int = 0
    image_id: str = ""


@dataclass
class Account:
    """What was seen, and what of it must not be."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[int, str] = (0, "")
    command_kb: dict[str, list[int]] = field(default_factory=dict)

    def expect(self, right: bool, what: str) -> None:
        if not right:
            self.wrong.append(what)
            print(f"  WRONG: {what}", flush=True)


def sources(phantom: Path | None) -> list[bytes]:
    """The kit's files and some of a phantom's."""
    kit = sorted(file for file in KIT.rglob("*") if file.is_file() and file.suffix not in (".md", ".csv"))
    drawn = sorted(phantom.rglob("*.dcm"))[::40] if phantom else []
    return [file.read_bytes() for file in (*kit, *drawn)]


def write_damaged(folder: Path, originals: Sequence[bytes], first: int, count: int, seed: int) -> None:
    """Files `first` up to `first + count` of a seed, whatever chunk they are written in."""
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        random = Random(f"{seed} {number}")
        content, how = damaged(renamed(random.choice(originals), number), DICOM, random)
        (folder / f"m{number:06}_{how.partition('+')[0]}.dcm").write_bytes(content)


def watch(folder: Path, checkpoint: Path) -> dict[str, Watched]:
    """Every file of a folder, read alone by a child, which is started anew behind a file that ends it."""
    names = sorted(file.name for file in folder.iterdir())
    seen: dict[str, Watched] = {}
    while len(seen) < len(names):
        left = names[len(seen) :]
        command = [sys.executable, "-m", "tests.faults.read_one_by_one", str(folder), str(checkpoint)]
        child = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdin is not None
        child.stdin.write("\n".join(left) + "\n")
        child.stdin.close()
        for line in _lines(child):
            if line is None:
                child.kill()
                seen[names[len(seen)]] = Watched("HANG", seconds=HANGS_AFTER)
                break
            one = json.loads(line)
            name = one.pop("name")
            seen[name] = Watched(**one)
        child.wait()
        if len(seen) < len(names) and child.returncode not in (0, -9):
            seen[names[len(seen)]] = Watched(f"CRASH {child.returncode}")
    return seen


def _lines(child: "subprocess.Popen[str]") -> Iterator[str | None]:
    """The lines of a child; None where it says nothing for too long."""
    assert child.stdout is not None
    selector = selectors.DefaultSelector()
    selector.register(child.stdout, selectors.EVENT_READ)
    os.set_blocking(child.stdout.fileno(), False)
    rest, patience = "", 4 * HANGS_AFTER  # it imports torch first
    while selector.select(timeout=patience):
        patience = HANGS_AFTER
        said = child.stdout.read()
        if not said:
            return
        *whole, rest = (rest + said).split("\n")
        yield from whole
    yield None


def run(command: Sequence[str]) -> tuple[int, str, int]:
    """Exit code, what it said, and its highest memory in kB, which begins with this small process's own."""
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen([sys.executable, *command], cwd=REPOSITORY, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return child.returncode, said.read(), usage.ru_maxrss


def predict(folder: Path, checkpoint: Path, output: Path, account: Account) -> tuple[dict[str, list[str]], set[str]]:
    """Rows of probabilities and names of refused files, by the command."""
    names = output.with_name("names.csv")  # which file each digest in the tables is
    words = ["predict.py", f"checkpoint={checkpoint}", f"input={folder}", f"output={output}", "device=cpu"]
    words.append(f"names={names}")
    code, said, kb = run(words)
    account.expect(code == 0 and "Traceback" not in said, f"predict.py: exit code {code}: {said[-500:]}")
    account.command_kb.setdefault("predict.py", []).append(kb)
    if code:
        return {}, set()
    try:
        with names.open(newline="", encoding="utf-8") as file:
            originals = dict(list(csv.reader(file))[1:])
        with (output / "probabilities.csv").open(newline="", encoding="utf-8") as file:
            good = {originals.get(row[0], row[0]): row[2:] for row in list(csv.reader(file))[1:]}
        with (output / "rejected.csv").open(newline="", encoding="utf-8") as file:
            bad = {originals.get(row[0], row[0]) for row in list(csv.reader(file))[1:]}
    except (csv.Error, UnicodeDecodeError) as error:
        account.expect(False, f"{output}: a table that nobody can read: {error}")
        return {}, set()
    return good, bad


def prepare(folder: Path, seen: dict[str, Watched], account: Account) -> None:
    """The command on a table of the files: each image once, because a table that says one twice is refused."""
    table, images, readable = folder / "table.csv", set(), 0
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "patient_id", *FINDINGS])
        count = 0
        for name, one in seen.items():
            if one.image_id and one.image_id in images:
                continue
            images.add(one.image_id)
            readable += one.outcome == "readable"
            count += 1
            writer.writerow([name, f"P{count % 50}", *"000000"])
    cache = folder.with_name(f"{folder.name}.cache")
    code, said, kb = run(
        [
            "-m",
            "ich.prepare",
            "data=table",
            f"data.root={table}",
            f"data.cache={cache}",
            "geometry.size=64",
            "verify=true",
        ]
    )
    account.expect(code == 0 and "Traceback" not in said, f"ich.prepare: exit code {code}: {said[-500:]}")
    account.expect(
        f"{readable} slices are prepared, {count - readable} files left out" in said,
        f"ich.prepare: {readable} of {count} are readable, and it said: {said[-300:]}",
    )
    account.command_kb.setdefault("ich.prepare", []).append(kb)
    table.unlink()


def chunk(folder: Path, checkpoint: Path, alone: dict[str, list[str]], account: Account) -> None:
    seen = watch(folder, checkpoint)
    for name, one in seen.items():
        account.outcomes[one.outcome] += 1
        account.slowest = max(account.slowest, (one.seconds, name))
        account.largest = max(account.largest, (one.peak_kb, name))
        account.expect(not one.outcome.startswith(("CRASH", "HANG", "raised")), f"{name}: {one.outcome}")
        account.expect(one.seconds <= SLOWEST_SECONDS, f"{name}: {one.seconds:.1f} s")
    prepare(folder, seen, account)
    for number, (name, source) in enumerate(sorted(_undamaged(folder.parent).items())):
        (folder / f"m{number * 7:06}_zz_{name}").write_bytes(source)  # in between
    good, bad = predict(folder, checkpoint, folder.with_name(f"{folder.name}.out"), account)
    if not good:
        return
    named = {name for name, one in seen.items() if one.outcome == "readable"}
    files = {file.name for file in folder.iterdir()}
    account.expect(len(good) + len(bad) == len(files), f"{len(files)} files, {len(good)} + {len(bad)} rows")
    account.expect(named == {name for name in good if "_zz_" not in name}, "other files are readable in a folder")
    for name, row in good.items():
        if "_zz_" in name:
            known = alone[name.partition("_zz_")[2]]
            apart = max(abs(float(a) - float(b)) for a, b in zip(row, known, strict=True))
            account.expect(apart <= SAME, f"{name}: {apart} away from what it is alone")
    account.expect(sum("_zz_" in name for name in good) == len(alone), "an undamaged file lost its row")


def _undamaged(root: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (root / "undamaged").iterdir() if file.is_file()}


def main(count: int, seed: int, phantom: Path | None) -> int:
    began, account = time.monotonic(), Account()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        checkpoint = root / "small.ckpt"
        code, said, _ = run(["-c", f"from tests.faults.small import *; small_checkpoint(Path({str(checkpoint)!r}))"])
        assert not code, said
        originals = sources(phantom)
        (root / "undamaged").mkdir()
        for number, one in enumerate(originals):
            (root / "undamaged" / f"{number:04}.dcm").write_bytes(one)
        whole = Account()
        alone, _ = predict(root / "undamaged", checkpoint, root / "alone", whole)
        prepare(root / "undamaged", watch(root / "undamaged", checkpoint), whole)
        account.wrong += whole.wrong
        for first in range(0, count, CHUNK):
            part = root / f"chunk{first}"
            write_damaged(part, originals, first, min(CHUNK, count - first), seed)
            chunk(part, checkpoint, alone, account)
            print(f"{min(first + CHUNK, count)} files, {time.monotonic() - began:.0f} s", flush=True)
            for done in root.glob("chunk*"):
                shutil.rmtree(done)
    for name, peaks in account.command_kb.items():
        (base,) = whole.command_kb[name]
        print(f"{name}: at most {max(peaks):,} kB, {base:,} kB on the undamaged files")
        account.expect(max(peaks) - base <= MOST_KB, f"{name}: {max(peaks) - base:,} kB more")
    print(f"{sum(account.outcomes.values())} files: {dict(account.outcomes.most_common())}")
    print(
        f"slowest {account.slowest[0]:.2f} s ({account.slowest[1]}), most memory above the reader's own "
        f"{account.largest[0]:,} kB ({account.largest[1]}); {time.monotonic() - began:.0f} s in all"
    )
    print("FAILED" if account.wrong else "PASSED")
    return bool(account.wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--phantom", type=Path, help="a folder of a phantom's slices, of which some are damaged, too")
    asked = parser.parse_args()
    sys.exit(main(asked.count, asked.seed, asked.phantom))
