"""A run's model behind `mlflow models serve`, as a user would have it."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.project import Project

Ask = Callable[..., tuple[int, str]]


@contextmanager
def served(project: Project, run_id: str, said: Path) -> Iterator[Ask]:
    """Post DICOM files to the server of a run: the status and the body of its answer. `said`: a file for its log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tools = Path(sys.executable).parent
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{project.root / 'mlflow.db'}",
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
    }
    words = ("models", "serve", "-m", f"runs:/{run_id}/model", "--env-manager", "local")
    with said.open("wb") as log:
        server = subprocess.Popen(
            [tools / "mlflow", *words, "-p", str(port), "--workers", "1"],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def post(*files: bytes) -> tuple[int, str]:
        rows = [[base64.b64encode(content).decode()] for content in files]
        body = json.dumps({"dataframe_split": {"columns": ["dicom"], "data": rows}}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    try:
        _wait(f"http://127.0.0.1:{port}/ping", server, said)
        yield post
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def _wait(address: str, server: subprocess.Popen[bytes], said: Path) -> None:
    for _ in range(240):
        assert server.poll() is None, said.read_text()
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError("the server does not answer")
