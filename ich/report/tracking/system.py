"""What processor, memory, disk, network and GPU do while a run goes on: MLflow measures, the run's own thread tells."""

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from ich.report.tracking.run import Run
from ich.report.tracking.store import tracking_uri

if TYPE_CHECKING:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

PREFIX = "system/"
"""MLflow's, which gives these metrics a page of their own."""

log = logging.getLogger(__name__)


@contextmanager
def system_metrics(run: Run, held: Collection[tuple[str, int]] = ()) -> Iterator[None]:
    """Log them for the block, every ten seconds or MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL, and once at its end.

    Samples are counted on from those of `held`, the (name, step) that a run which goes on holds already.

    MLflow's own loop asks the server before each sample and ends with it; here a sample goes the way of all metrics, so
    that none is lost and nothing is waited for.
    """
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    try:
        monitor = SystemMetricsMonitor(run.id, tracking_uri=tracking_uri())
        monitor.collect_metrics()
    except (OSError, AttributeError, psutil.Error) as error:  # a container may hide its network or its disk
        log.warning("the run goes on without system metrics: %s: %s", type(error).__name__, error)
        yield
        return
    ended = threading.Event()
    sample = 1 + max((step for name, step in held if name.startswith(PREFIX)), default=-1)
    thread = threading.Thread(target=_measure, args=(run, monitor, ended, sample), name="system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _measure(run: Run, monitor: "SystemMetricsMonitor", ended: threading.Event, sample: int) -> None:
    over = False
    monitor.collect_metrics()  # the processor's use is counted from here on, for this thread alone
    while not over:
        for one in monitor.monitors:
            one.clear_metrics()
        over = ended.wait(monitor.sampling_interval)
        monitor.collect_metrics()
        run.log_metrics({f"{PREFIX}{name}": value for name, value in monitor.aggregate_metrics().items()}, sample)
        sample += 1
