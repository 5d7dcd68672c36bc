"""Commands of the project in processes of their own, without waiting for the libraries' imports each time.

A process that has imported them stands by and forks for each command: torch, Lightning and MLflow take six seconds of
every fresh one. The project itself is imported anew in each. What a command imports, or how much memory it takes, is
to be asked of a fresh process.
"""

import atexit
import gc
import importlib.util
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

HOOK = Path(__file__).resolve().parents[1] / "ich" / "torchvision_hook.py"
LIBRARIES = (
    "torch", "pytorch_lightning", "timm", "mlflow", "albumentations", "pandas", "pyarrow.parquet", "sklearn.metrics",
    "matplotlib.pyplot", "pydicom", "hydra", "captum.attr", "cv2", "rich.console", "alembic", "sqlalchemy",
)  # fmt: skip


def run(
    words: Sequence[str], *, cwd: Path, timeout: float = 240, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """`python words...` in a folder; a path to a script, or `-m` and a module, comes first."""
    environment = os.environ | {"COLUMNS": "200"} | environment
    if sys.platform != "linux":
        command = [sys.executable, *words]
        return subprocess.run(
            command, cwd=cwd, env=environment, timeout=timeout, capture_output=True, text=True, check=False
        )
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        asked = {"words": [*words], "cwd": str(cwd), "env": environment, "said": [*map(str, said)], "timeout": timeout}
        process = _standing_by()
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        code = json.loads(process.stdout.readline())
        out, error = (path.read_text(errors="replace") for path in said)
    if code is None:
        raise subprocess.TimeoutExpired([*words], timeout, out, error)
    return subprocess.CompletedProcess([*words], code, out, error)


@cache
def _standing_by() -> "subprocess.Popen[str]":
    """It ends with its standard input."""
    command = [sys.executable, str(Path(__file__).resolve())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)
    return process


def _stand_by() -> dict[str, object]:
    """Fork for each command that is asked for; in the forked process, return what was asked."""
    spec = importlib.util.spec_from_file_location("_hook", HOOK)
    assert spec
    assert spec.loader
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    hook.install()
    for name in LIBRARIES:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a thread does not live on in a forked process"
    gc.freeze()  # a collection would touch, and so copy, all of it
    for line in sys.stdin:
        asked: dict[str, object] = json.loads(line)
        child = os.fork()
        if not child:
            return asked
        print(json.dumps(_code(child, float(str(asked["timeout"])))), flush=True)
    sys.exit()


def _code(child: int, timeout: float) -> int | None:
    """As subprocess has it; None after the timeout."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _become(words: Sequence[str], cwd: str, env: Mapping[str, str], said: Sequence[str]) -> NoReturn:
    """This process is as if it were started so, runs the command, and ends without taking the libraries apart."""
    os.setpgid(0, 0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, path in zip((1, 2), said, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    code = 0
    try:
        if words[0] == "-m":
            sys.argv, sys.path[0] = ["-m", *words[2:]], cwd
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = [*words], str(Path(words[0]).parent)
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else end.code is not None
    except BaseException:  # as Python does it
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    request = _stand_by()
    _become(request["words"], request["cwd"], request["env"], request["said"])  # type: ignore[arg-type]
