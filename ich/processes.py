"""The processes of one training: what the first finds out for all, and how they end when one of them is lost."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies.launchers import subprocess_script
from pytorch_lightning.utilities import rank_zero_only
from torch.distributed import DistError, Store  # type: ignore[attr-defined]  # public in its documentation alone
from torch.distributed.rendezvous import rendezvous

from ich.errors import InputError

TOLD = "ICH_TOLD_BY_FIRST"
"""What the first process has found out; the processes that Lightning starts inherit it."""
GRACE_SECONDS = 30
"""How long a process may take to notice by itself that another is lost; else it may wait for it for half an hour."""
ASK_SECONDS = 0.2

_started: list[subprocess.Popen[bytes]] = []
"""By Lightning, for the further devices."""
_stores: list[Store] = []
"""Kept open: Lightning finds the server of the first process there."""


class ProcessLost(InputError):
    """Another process of this training has ended."""


class FirstRefused(InputError):
    """What the first process of a training refused, for all of them."""


def name_lost(error: RuntimeError) -> ProcessLost | None:
    """What torch raises where another process has gone, in words; None of any other error."""
    said = str(error).partition("\n")[0]
    if (not isinstance(error, DistError) and "gloo" not in said) or "EADDRINUSE" in said:
        return None
    return ProcessLost(
        f"another process of this training has ended ({said}): what it said stands above; if nothing does it was "
        "killed, mostly for lack of memory. The last save is kept; the same command with resume=auto goes on from it"
    )


def from_first(find: Callable[[], Any]) -> Any:
    """What `find` finds in the first process, in all of them and before they are a group: plain types.

    Each for itself could find something else: a run that has begun or ended meanwhile. Raises what `find` raises, in
    the others FirstRefused or ProcessLost.
    """
    launcher = next((kind() for kind in (TorchElasticEnvironment, SLURMEnvironment) if kind.detect()), None)
    if launcher is not None and launcher.world_size() > 1:
        return _from_store(launcher, find)
    if rank_zero_only.rank != 0:
        return json.loads(os.environ[TOLD])
    found = find()
    os.environ[TOLD] = json.dumps(found, default=str)
    return found


def _from_store(launcher: ClusterEnvironment, find: Callable[[], Any]) -> Any:
    """Through the store where the processes meet a little later."""
    rank, key = launcher.global_rank(), f"ich/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{len(_stores)}"
    address = f"tcp://{launcher.main_address}:{launcher.main_port}"
    try:
        store, *_ = next(rendezvous(address, rank, launcher.world_size()))
        _stores.append(store)
        if rank != 0:
            told = json.loads(_wait(store, key))
            if "refused" in told:
                raise FirstRefused(told["refused"])
            return told["found"]
        try:
            found = find()
        except InputError as error:
            store.set(key, json.dumps({"refused": str(error)}))
            raise
        store.set(key, json.dumps({"found": found}, default=str))
        return found
    except DistError as error:
        raise name_lost(error) or error from error


def _wait(store: Store, key: str) -> bytes:
    """By asking: a signal is heard in between only."""
    while not store.check([key]):
        time.sleep(ASK_SECONDS)
    return store.get(key)


def watch_started() -> None:
    """Remember what Lightning starts, in the place of its own watch, which kills this process with its record open."""
    subprocess_script._launch_process_observer = _started.extend


def forget_started() -> None:
    """They are being ended."""
    _started.clear()


def lost_started() -> bool:
    """Whether a process that Lightning has started here did not end well."""
    return any(process.poll() for process in [*_started])


@contextmanager
def ended_with(lost: Callable[[], bool], close: Callable[[ProcessLost], None]) -> Iterator[None]:
    """A block that ends when another process is lost, asked for by the second.

    Mostly the block fails by itself then. Where it waits inside of a library, where no exception reaches it, the
    process `close`s its record and ends, with exit code 1.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            if lost() and not ended.wait(GRACE_SECONDS):
                said = ProcessLost(f"another process of this training ended {GRACE_SECONDS} seconds before")
                print(f"ProcessLost: {said}", file=sys.stderr, flush=True)
                try:
                    close(said)
                finally:
                    os._exit(1)

    thread = threading.Thread(target=watch, name="others", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
