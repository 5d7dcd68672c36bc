"""The machine's metrics stand in the run, every sample once, and nothing is left behind."""

import threading
import time

import pytest
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient

from ich.report.tracking import open_run, system_metrics

CPU = "system/cpu_utilization_percentage"


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "system-metrics"]


def test_every_sample_is_there_once_and_one_of_the_end(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    with open_run(name="r", params={}, tags={}) as run, system_metrics(run):
        begun = time.process_time()
        while time.process_time() - begun < 1.5:
            pass  # keeps a processor busy
    points = client.get_metric_history(run.id, CPU)
    assert [point.step for point in points] == [*range(len(points))]
    assert len(points) >= 3
    assert all(0 < point.value <= 100 for point in points)
    assert 0 < points[0].timestamp - client.get_run(run.id).info.start_time < 20_000
    metrics = client.get_run(run.id).data.metrics
    assert metrics["system/system_memory_usage_megabytes"] > 50
    assert metrics["system/disk_available_megabytes"] > 0
    assert 0 <= metrics["system/network_receive_megabytes"] < 1000
    assert not threads()


def test_a_run_shorter_than_the_interval_has_one(client: MlflowClient) -> None:
    begun = time.monotonic()
    with open_run(name="r", params={}, tags={}) as run, system_metrics(run):
        pass
    assert [point.step for point in client.get_metric_history(run.id, CPU)] == [0]
    assert time.monotonic() - begun < 5


def test_a_run_that_goes_on_counts_its_samples_on(client: MlflowClient) -> None:
    with open_run(name="r", params={}, tags={}) as run, system_metrics(run):
        pass
    with open_run(name="", params={}, tags={}, again=run.id) as again, system_metrics(again, again.held_metrics()):
        pass
    assert [point.step for point in client.get_metric_history(run.id, CPU)] == [0, 1]


def test_a_failure_leaves_no_thread(client: MlflowClient) -> None:
    with (
        pytest.raises(ValueError, match="no slices"),
        open_run(name="r", params={}, tags={}) as run,
        system_metrics(run),
    ):
        raise ValueError("no slices")
    assert not threads()
    assert client.get_run(run.id).data.metrics.keys() >= {CPU}


def test_a_machine_that_hides_its_network_trains(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def hidden(*_: object, **__: object) -> None:
        raise PermissionError("/proc/net/dev")

    monkeypatch.setattr(SystemMetricsMonitor, "__init__", hidden)
    with open_run(name="r", params={}, tags={}) as run, system_metrics(run):
        pass
    assert client.get_run(run.id).info.status == "FINISHED"
    assert "the run goes on without system metrics: PermissionError: /proc/net/dev" in caplog.text
