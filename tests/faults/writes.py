"""A checkpoint's writing with a fault at every system call: python -m tests.faults.writes

A process that holds step 2 (and step 1 before it) saves step 3 under strace, which lets one call on files fail (no
space, I/O error) or kills the process at it: each call of the whole writing in turn. What can be read afterwards must
be step 2 or 3, and where the saving says that it succeeded, step 3. Needs strace.
"""

import ich  # isort: skip  # noqa: F401

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from ich.report.resume import newest_good
from ich.saves import LAST, PREVIOUS, WholeFiles
from tests.faults.small import small_state

FAULTS = ("error=ENOSPC", "error=EIO", "signal=SIGKILL")


def save(folder: Path, step: int) -> None:
    """A small checkpoint that a training could go on from."""
    WholeFiles().save_checkpoint(small_state() | {"global_step": step, "record": {"run_id": "a"}}, folder / LAST)


def saved_under(folder: Path, *options: str) -> tuple[int, list[str]]:
    """The exit code of a process that saves step 3 with these options of strace, and its calls on files."""
    ready, go = os.pipe()
    child = os.fork()
    if not child:
        os.close(go)
        code = 1
        try:
            os.read(ready, 1)
            save(folder, 3)
            code = 0
        except OSError:
            code = 1
        finally:
            os._exit(code)
    os.close(ready)
    trace = folder.with_suffix(".trace")
    command = ["strace", "-f", "-e", "trace=%file,%desc", "-o", str(trace), *options, "-p", str(child)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        os.write(go, b"!")
        os.close(go)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        strace.stderr.read()
    calls = re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE)
    return code, calls


def trial(fault: str | None = None, call: str = "", number: int = 0) -> tuple[str, list[str]]:
    """What went wrong, or nothing, with this fault at the n-th call of this name; and the calls that were made."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "run")
        for step in (1, 2):
            save(folder, step)
        options = ["-e", f"inject={call}:{fault}:when={number}"] if fault else []
        code, calls = saved_under(folder, *options)
        good = newest_good([folder / LAST, folder / PREVIOUS])
        step = good[1]["global_step"] if good else None
        right = step in (2, 3) and (code != 0 or step == 3)
        return "" if right else f"exit code {code}, and step {step} is what can be read", calls


def main() -> int:
    wrong, calls = trial()
    assert not wrong, wrong
    count = faults = 0
    for call, number in sorted(Counter(calls).items()):
        for place in range(1, number + 1):
            for fault in FAULTS:
                wrong, _ = trial(fault, call, place)
                count, faults = count + 1, faults + bool(wrong)
                if wrong:
                    print(f"{fault} at {call} number {place}: {wrong}", flush=True)
    print(f"{count} faults at {len(calls)} calls {dict(Counter(calls))}: {faults} lost a save")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
