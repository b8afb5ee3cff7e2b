import os
import platform
import subprocess
import sys

import pytest
import torch

from noonchi import device
from noonchi.errors import SettingsError
from noonchi.settings import DeviceSettings

AUTO = DeviceSettings(name="cpu", precision="auto")
NATIVE_BFLOAT16 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def absent() -> str:
    return "mps" if torch.cuda.is_available() else "cuda"


# Device and threads


def test_what_is_done_in_parallel_comes_in_order_and_leaves_the_threads_as_they_were():
    torch.set_num_threads(3)
    within = list(device.in_parallel(lambda number: (number, torch.get_num_threads()), range(20)))
    assert within == [(number, 1) for number in range(20)]
    assert torch.get_num_threads() == 3


def test_a_single_thing_is_left_to_all_threads():
    torch.set_num_threads(3)
    assert list(device.in_parallel(lambda _: torch.get_num_threads(), "a")) == [3]


def test_only_a_few_are_done_ahead_and_what_is_given_up_ends():
    torch.set_num_threads(2)
    taken: list[int] = []
    results = device.in_parallel(lambda number: number, (taken.append(number) or number for number in range(1000)))
    assert next(results) == 0
    assert len(taken) < 10
    results.close()
    assert torch.get_num_threads() == 2


def test_an_error_in_parallel_work_is_raised_where_the_results_are_taken():
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        list(device.in_parallel(lambda number: 1 / number, range(5)))
    assert torch.get_num_threads() == 2


def test_a_device_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(SettingsError, match=f"'{absent()}' is not available here. Use one of: .*cpu.*auto"):
        device.prepare(DeviceSettings(name=absent()))


def test_auto_becomes_a_device_that_is_there():
    name = device.prepare(DeviceSettings()).name
    assert torch.zeros(2, device=name).sum().item() == 0


def test_threads_asked_for_are_set():
    assert device.prepare(DeviceSettings(name="cpu", threads=1)).threads == 1
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("1", 1)])
def test_threads_not_asked_for_are_those_that_the_environment_names(monkeypatch, said, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert device.prepare(DeviceSettings(name="cpu")).threads == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux can take processors from a process")
def test_threads_not_asked_for_are_as_many_as_the_process_may_use(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert device.prepare(DeviceSettings(name="cpu")).threads == 1
    finally:
        os.sched_setaffinity(0, before)


# Precision


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_a_precision_asked_for_is_taken_without_a_trial(asked):
    settings = AUTO.but(precision=asked)
    assert device.choose_precision(settings, lambda precision: pytest.fail("tried")) == (settings, None)


def test_bfloat16_is_taken_where_the_processor_has_it_and_its_loss_agrees():
    tried = []

    def loss_in(precision: str) -> float:
        tried.append(precision)
        return 2.3 if precision == "float32" else 2.31

    chosen, note = device.choose_precision(AUTO, loss_in)
    assert note is None
    assert chosen.precision == ("bfloat16" if NATIVE_BFLOAT16 else "float32")
    assert sorted(tried) == (["bfloat16", "float32"] if NATIVE_BFLOAT16 else [])


@pytest.mark.parametrize("wrong", [2.5, 0.0, float("nan"), float("inf")])
def test_bfloat16_with_another_loss_falls_back_to_float32_and_says_so(wrong):
    chosen, note = device.choose_precision(AUTO, lambda precision: 2.3 if precision == "float32" else wrong)
    assert chosen.precision == "float32"
    assert (note is not None and "float32" in note and "\n" not in note) == NATIVE_BFLOAT16


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_run_in_the_precision_chosen(precision):
    with device.autocast("cpu", precision):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == getattr(torch, precision)


# Seeds


def test_a_counted_seed_never_changes():
    assert device.counted_seed(0, "order", 1) == 7021862330116196507


def test_each_count_gives_a_seed_of_its_own_that_torch_takes():
    counts = [(seed, use, epoch) for seed in range(8) for use in ("order", "step") for epoch in range(64)]
    seeds = {device.counted_seed(*each) for each in counts}
    assert len(seeds) == len(counts)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_draws_within_are_a_function_of_the_counts():
    draws = []
    for counts in ((0, "a"), (0, "a"), (0, "b")):
        with device.seeded("cpu", *counts):
            draws.append(torch.rand(5).tolist())
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("error", [None, KeyError])
def test_draws_outside_go_on_as_if_nothing_had_been_drawn(error):
    torch.manual_seed(1)
    expected = torch.rand(6).tolist()
    torch.manual_seed(1)
    drawn = torch.rand(3).tolist()
    try:
        with device.seeded("cpu", 5, "step", 2):
            torch.rand(100)
            if error:
                raise error
    except KeyError:
        pass
    assert drawn + torch.rand(3).tolist() == expected


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep what is freed")
def test_large_tensors_are_taken_again_from_what_was_freed():
    code = """
import resource, torch
from noonchi.device import keep_freed_memory

torch.set_num_threads(1)
keep_freed_memory()
for _ in range(12):  # what aligning cuts off lies between at first: the C library keeps seven such pieces aside
    torch.empty(40_000_000, dtype=torch.uint8).fill_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.empty(40_000_000, dtype=torch.uint8).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
    assert faults < 500  # of the 5 x 9,766 pages that clearing each anew takes
