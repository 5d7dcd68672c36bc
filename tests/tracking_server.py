"""`mlflow server`, which can be killed and comes back with what it knew."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from mlflow.tracking import MlflowClient


class Server:
    """Runs for the block; what it is told lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        store = ("--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}", "--artifacts-destination")
        tool = Path(sys.executable).parent / "mlflow"
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [tool, "server", *store, self.folder / "files", "--port", str(self.port), "--workers", "1"],
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(240):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.5)
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri)
