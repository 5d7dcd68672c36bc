"""SIGKILLs of the real train.py, and whether the resumed run is that of nobody's kill: python -m tests.faults.kills

Each training is killed once or twice: at a random time, inside the writing of a checkpoint or in a validation. It
must end with the bits, metrics and predictions of a training that nobody stopped, in one run. `kills=100` is how
many, `seed=0` which. train.py runs in forks of one process that has imported everything: an import takes ten times as
long as these trainings.
"""

import os
import random
import runpy
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.project import copy_project

WORDS = (
    "experiment=demo",
    "data.patients=6",
    "data.slices=16",
    "data.batch_size=16",
    "geometry.size=64",
    "model.drop_rate=0.3",
    "trainer.max_epochs=3",
    "trainer.val_check_interval=0.5",
    "trainer.save_every_n_steps=1",
    "report=false",
)
WAYS = ("time", "time", "time", "write", "validation")
TWICE = 0.4
"""So many trainings are killed again after they were resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a training leaves, as it must be the same."""

    metrics: Counter[tuple[str, int, float]]
    last: Any
    best: Any
    predictions: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A copy of the project whose train.py is run in forks of this process."""

    root: Path

    def start(self, *words: str, harm: Callable[[], None] | None = None) -> int:
        """The process id of a training."""
        number = os.fork()
        if number:
            return number
        code = 1
        try:
            log = os.open(self.root / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            if harm:
                harm()
            sys.argv = [str(self.root / "train.py"), *words]
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            sys.stdout.flush()
            os._exit(code)

    def runs(self) -> list[str]:
        """Newest first."""
        return [row[0] for row in self._ask("select run_uuid from runs order by start_time desc")]

    def has_begun(self, run: str) -> bool:
        """Whether it holds its configuration: killed before that, there is nothing to go on with."""
        uri = self._ask("select artifact_uri from runs where run_uuid = ?", run)[0][0]
        return (Path(uri.removeprefix("file://")) / "config.yaml").exists()

    def went_on(self, run: str) -> bool:
        """Whether the last resume was from a save; a training may be killed before its first."""
        found = self._ask("select value from tags where run_uuid = ? and key = 'resumed'", run)
        return bool(found) and found[0][0].endswith(".ckpt")

    def left(self, run: str) -> Left:
        import torch

        (status, uri) = self._ask("select status, artifact_uri from runs where run_uuid = ?", run)[0]
        assert status == "FINISHED", f"run {run} is {status}"
        folder = Path(uri.removeprefix("file://"))
        metrics = self._ask("select key, step, value from metrics where run_uuid = ? and key not like 'system/%'", run)
        last, best = (
            torch.load(folder / "checkpoints" / name, weights_only=True) for name in ("last.ckpt", "best.ckpt")
        )
        kept = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")
        return Left(
            metrics=Counter(metrics),
            last=[last[name] for name in kept],
            best=best["state_dict"],
            predictions=(folder / "predictions" / "val.csv").read_bytes(),
        )

    def _ask(self, question: str, *values: str) -> list[Any]:
        with sqlite3.connect(self.root / "mlflow.db", timeout=60) as database:
            return database.execute(question, values).fetchall()


def wait(number: int, seconds: float | None = None) -> int:
    """The exit code, negative for a signal; killed after `seconds`."""
    end = time.monotonic() + seconds if seconds is not None else None
    while end is not None and time.monotonic() < end:
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    if end is not None:
        os.kill(number, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_write(which: int, place: str) -> Callable[[], None]:
    """Die at the n-th checkpoint: before it is begun, when half of it is written, or when all of it is."""

    def harm() -> None:
        from ich import saves

        real, count = saves.whole, 0

        class Deadly:
            def __init__(self, file: IO[bytes]) -> None:
                self.file = file

            def write(self, content: memoryview) -> None:
                self.file.write(content[: len(content) // 2] if place == "half" else content)
                self.file.flush()
                kill_self()

        @contextmanager
        def whole(path: Path) -> Iterator[Any]:
            nonlocal count
            count += 1
            if count == which and place == "before":
                kill_self()
            with real(path) as file:
                yield Deadly(file) if count == which else file

        saves.whole = whole

    return harm


def in_a_validation(which: int) -> Callable[[], None]:
    """Die at the n-th batch of validations."""

    def harm() -> None:
        from ich.model.learner import Learner

        real, count = Learner.validation_step, 0

        def step(self: Any, batch: Any, batch_idx: int) -> None:
            nonlocal count
            count += 1
            if count == which:
                kill_self()
            real(self, batch, batch_idx)

        Learner.validation_step = step  # type: ignore[method-assign]

    return harm


def kill_once(bench: Bench, dice: random.Random, seconds: float, *words: str) -> tuple[str, bool]:
    """Where a training was to be killed, and whether that came before its end."""
    way = dice.choice(WAYS)
    harm = None
    if way == "write":
        harm = in_a_write(dice.randint(1, 8), dice.choice(["before", "half", "after"]))
    elif way == "validation":
        harm = in_a_validation(dice.randint(1, 12))
    code = wait(bench.start(*words, harm=harm), dice.uniform(0.1, seconds) if harm is None else 300)
    assert code in (0, -signal.SIGKILL), (bench.root / "log.txt").read_text()
    return way, code != 0


def try_one(bench: Bench, dice: random.Random, seconds: float, whole: Left) -> tuple[Counter[str], list[str]]:
    """Kill a training, go on with it, maybe kill it again; the kills, and what is other than of a whole one."""
    before, kills = bench.runs(), Counter[str]()
    way, killed = kill_once(bench, dice, seconds, *WORDS)
    new = [run for run in bench.runs() if run not in before]
    if not killed or not new or not bench.has_begun(new[0]):  # too late, or too early
        return kills, []
    kills[way] += 1
    resume = f"resume=runs:/{new[0]}"
    if dice.random() < TWICE:
        way, killed = kill_once(bench, dice, seconds, resume)
        kills[way] += killed
    code = wait(bench.start(resume))
    if code:
        return kills, [f"exit code {code}: {(bench.root / 'log.txt').read_text()[-2000:]}"]
    kills["went on from a save"] += bench.went_on(new[0])
    after = [run for run in bench.runs() if run not in before]
    return kills, [*differences(whole, bench.left(new[0])), *([] if after == new else [f"runs {after}"])]


def differences(whole: Left, left: Left) -> Iterator[str]:
    from tests.faults.resume import same

    if left.metrics != whole.metrics:
        yield f"metrics: {list((left.metrics - whole.metrics) + (whole.metrics - left.metrics))[:5]}"
    for name in ("last", "best", "predictions"):
        if not same(getattr(left, name), getattr(whole, name)):
            yield f"other bits: {name}"


def main() -> int:
    wanted = {"kills": 100, "seed": 0} | {key: int(value) for key, value in (one.split("=") for one in sys.argv[1:])}
    dice, kills, wrong, trainings = random.Random(wanted["seed"]), Counter[str](), 0, 0
    root = Path(tempfile.mkdtemp())
    try:
        bench = Bench(root=copy_project(root / "project").root)
        sys.path.insert(0, str(bench.root))  # its ich, in this process too
        from ich import saves
        from ich.report import recorder

        assert Path(saves.__file__).is_relative_to(bench.root), saves.__file__
        del recorder
        for _ in range(2):  # the second finds data prepared
            begun = time.monotonic()
            assert wait(bench.start(*WORDS)) == 0, (bench.root / "log.txt").read_text()
            seconds = time.monotonic() - begun
        whole, again = (bench.left(run) for run in bench.runs()[:2])
        assert not (found := [*differences(whole, again)]), f"two whole trainings differ: {found}"
        begun = time.monotonic()
        while sum(kills[way] for way in set(WAYS)) < wanted["kills"]:
            some, found = try_one(bench, dice, seconds, whole)
            kills, trainings, wrong = kills + some, trainings + bool(some), wrong + bool(found)
            print(f"{dict(some)}: {found or 'the same'}", flush=True)
        minutes = (time.monotonic() - begun) / 60
        told = ", ".join(f"{count} {way}" for way, count in sorted(kills.items()))
        killed = sum(kills[way] for way in set(WAYS))
        print(f"{killed} kills ({told}) of {trainings} trainings in {minutes:.1f} min: {wrong} differ")
    finally:
        shutil.rmtree(root)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
