"""Columns of benchmarks: one a device, each by its own clock."""

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

FILE = Path(__file__).parent.parent / "benchmarks" / "devices.py"


@pytest.fixture
def devices() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_devices", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules.pop("benchmark_devices", None)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("available", "columns"), [(False, ["flash"]), (True, ["flash", "flash, GPU"])])
def test_a_column_of_a_gpu_stands_where_there_is_one(
    available: bool, columns: list[str], devices: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert [devices.heading("flash", device) for device in devices.devices()] == columns


def test_a_gpu_is_waited_for_at_both_ends(devices: ModuleType, monkeypatch: pytest.MonkeyPatch):
    waits: list[int] = []
    stand_in = SimpleNamespace(synchronize=lambda: waits.append(len(waits)))
    monkeypatch.setattr(torch, "get_device_module", lambda device: stand_in)
    monkeypatch.setattr(time, "perf_counter", lambda: 2.0 * len(waits))
    assert devices.timed(lambda: None, "cuda") == 2.0
    assert waits == [0, 1]


def test_the_cpu_is_measured_by_its_own_seconds(devices: ModuleType, monkeypatch: pytest.MonkeyPatch):
    ticks = iter([1.0, 4.0])
    monkeypatch.setattr(time, "process_time", lambda: next(ticks))
    monkeypatch.setattr(torch, "get_device_module", lambda device: pytest.fail("the CPU needs no waiting"))
    assert devices.timed(lambda: None, "cpu") == 3.0
