"""A child of `tests.faults.dicom`: names on standard input, and of each a line of JSON: outcome, seconds, memory."""

import ich  # isort: skip  # noqa: F401

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

from ich.ct.dicom import BadSlice, read_header
from ich.predictor import Predictor


def peak_kb() -> int:
    """The highest memory since `forget_peak`; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def read(path: Path, predictor: Predictor) -> tuple[str, str]:
    """The outcome, and the image that the header names."""
    try:
        header = None
        with suppress(BadSlice):
            header = read_header(path)
        one = predictor.read([path])[0]
        if isinstance(one, BadSlice):
            return one.reason, header.image_id if header else ""
        if header is None:
            return "raised: readable, but its header is not", ""
        predictor.predict([one.hu])
    except BaseException as error:
        return f"raised {type(error).__name__}: {error}"[:300], ""
    return "readable", one.image_id


def main(folder: Path, checkpoint: Path) -> None:
    predictor = Predictor.load(checkpoint, "cpu")
    for name in sys.stdin.read().splitlines():
        forget_peak()
        before, start = peak_kb(), time.monotonic()
        outcome, image_id = read(folder / name, predictor)
        line = {"name": name, "outcome": outcome, "seconds": time.monotonic() - start, "image_id": image_id}
        print(json.dumps(line | {"peak_kb": peak_kb() - before}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
