"""What a training on many machines would do, from a few measured figures: plain Python, nothing but arithmetic.

A step of n processes takes

    batch / step_rate + overhead_s + 2 (n - 1) / n * gradient_bytes / bus_bytes_s + small sums * 2 (n - 1) * latency_s

the third term being a ring's all-reduce (nccl-tests, doc/PERFORMANCE.md: t = S / B * 2 (n - 1) / n). Nothing is taken
to be hidden behind the way back: what is hidden makes the fitted bandwidth greater than the wire's. Fetching, comparing
and decoding go on beside the steps, so that the slowest of all sets the pace. docs/scale.md has the figures' sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

IMAGENET = 1_281_167
"""Training pictures."""
PICTURE_BYTES = 150e9 / 1_331_167
"""Of a JPEG of ImageNet: 150 GB are the training and the validation pictures."""
RESNET50_BYTES = 25_557_032 * 4
"""Gradients in float32; half of it where they are sent in 16 bits."""
SHARD_BYTES = 64e6
"""`noonchi shard --shard-mb`."""
WINDOW = 8
"""Shards whose pictures are mixed with one another: `noonchi.stream.WINDOW`."""
AT_ONCE = 4
"""Shards that a process fetches beside one another; those of a machine fetch the window that comes next."""
SMALL_SUMS = 2
"""A step: of the losses, and of whether one of the processes was asked to stop."""


@dataclass(frozen=True)
class Data:
    pictures: int
    picture_bytes: float = PICTURE_BYTES

    @property
    def bytes(self) -> float:
        return self.pictures * self.picture_bytes


@dataclass(frozen=True)
class Cluster:
    processes: int
    step_rate: float
    """Pictures/s of one process alone, data at hand."""
    batch: float
    """Pictures a process and step."""
    gradient_bytes: float = RESNET50_BYTES
    bus_bytes_s: float = inf
    """Of the narrowest link of the ring: within one machine NVLink or memory, else a machine's network."""
    latency_s: float = 0.0
    """From one process to the next, of a small sum that goes round beside the gradients."""
    overhead_s: float = 0.0
    """Of a step, as soon as there are two processes."""
    a_machine: int = 8
    """Processes, at most."""
    cores: float = inf
    """That fetch and decode, a process."""
    decode_rate: float = inf
    """Pictures/s a core."""
    hash_bytes_s: float = inf
    """Compared with their hashes, a core."""
    network_bytes_s: float = inf
    """Into one machine."""
    requests_s: float = inf
    """Of all machines together: a store's limit."""
    price_hour: float = 0.0
    """A process: one GPU's."""


@dataclass(frozen=True)
class Outcome:
    pictures_s: float
    bottleneck: str
    rates: dict[str, float]
    """Pictures/s of each stage, if the others were free."""


def all_reduce_s(cluster: Cluster) -> float:
    """
    >>> round(all_reduce_s(Cluster(256, 138, 32, bus_bytes_s=6.25e9)), 4)
    0.0326
    """
    n = cluster.processes
    return 2 * (n - 1) / n * cluster.gradient_bytes / cluster.bus_bytes_s


def step_s(cluster: Cluster) -> float:
    """
    >>> step_s(Cluster(1, 100, 50)), step_s(Cluster(2, 100, 50, overhead_s=0.25, latency_s=0.125))
    (0.5, 1.25)
    """
    n, own = cluster.processes, cluster.batch / cluster.step_rate
    return own if n == 1 else own + all_reduce_s(cluster) + cluster.overhead_s + small_sums_s(n, cluster)


def small_sums_s(n: int, cluster: Cluster) -> float:
    """What those of a step take, in a ring of n processes.

    >>> small_sums_s(2, Cluster(1, 100, 50, latency_s=0.125))
    0.5
    """
    return SMALL_SUMS * 2 * (n - 1) * cluster.latency_s


def machines(cluster: Cluster) -> int:
    """
    >>> machines(Cluster(8, 1, 256)), machines(Cluster(12, 1, 256))
    (1, 2)
    """
    return -(-cluster.processes // cluster.a_machine)


def times_fetched(data: Data, cluster: Cluster) -> float:
    """How often each byte leaves the store in an epoch: once for each machine that needs it.

    A machine's part of a batch lies in one window of shards or more. Where a batch is smaller than a window, all
    machines need all of it; else as many as have a part there, and one window's worth is fetched twice at its borders.

    >>> [round(times_fetched(Data(IMAGENET), Cluster(n, 1, 256)), 1) for n in (8, 64, 512)]
    [1, 3.2, 3.2]
    """
    part = cluster.batch * min(cluster.processes, cluster.a_machine)
    return min(machines(cluster), 1 + WINDOW * SHARD_BYTES / data.picture_bytes / part)


def outcome(data: Data, cluster: Cluster) -> Outcome:
    """
    >>> outcome(Data(IMAGENET), Cluster(8, 2470, 256, cores=6, decode_rate=540)).bottleneck
    'GPU'
    >>> outcome(Data(IMAGENET), Cluster(8, 2470, 256, cores=2, decode_rate=540)).bottleneck
    'decoding'
    >>> outcome(Data(IMAGENET), Cluster(64, 2470, 256, network_bytes_s=2e9)).bottleneck
    'network'
    """
    n, each = cluster.processes, data.picture_bytes * times_fetched(data, cluster)
    at_once = min(WINDOW, AT_ONCE * min(n, cluster.a_machine), cluster.cores * min(n, cluster.a_machine))
    rates = {
        "network": cluster.network_bytes_s * machines(cluster) / each,
        "requests": cluster.requests_s * SHARD_BYTES / each,
        "hashing": machines(cluster) * at_once * cluster.hash_bytes_s / each,
        "decoding": n * cluster.cores * cluster.decode_rate,
        "steps": n * cluster.batch / step_s(cluster),
    }
    slowest = min(rates, key=lambda name: rates[name])
    return Outcome(rates[slowest], _part(cluster) if slowest == "steps" else slowest, rates)


def _part(cluster: Cluster) -> str:
    """What a step spends most of its time on."""
    n = cluster.processes
    parts = {
        "GPU": cluster.batch / cluster.step_rate,
        "all-reduce": all_reduce_s(cluster) + cluster.overhead_s,
        "small sums": small_sums_s(n, cluster),
    }
    return max(parts, key=lambda name: parts[name])


def fitted(cluster: Cluster, measured: Sequence[tuple[int, float]]) -> Cluster:
    """The cluster with step rate, overhead and bus bandwidth that fit (processes, pictures/s) best.

    One pair must be of one process: it gives the step rate. With one further pair only the bandwidth is fitted. Least
    squares of step times; neither term may be negative. 2 (n - 1) / n goes from 1 to 2 only, so that without a pair of
    two processes overhead and bandwidth are hardly told apart: trust their sum.

    >>> true = Cluster(1, 100, 32, bus_bytes_s=1e9, overhead_s=0.01)
    >>> pairs = [(n, n * 32 / step_s(replace(true, processes=n))) for n in (1, 2, 4, 8)]
    >>> found = fitted(replace(true, bus_bytes_s=1, overhead_s=0), pairs)
    >>> round(found.overhead_s, 6), round(found.bus_bytes_s / 1e9, 6)
    (0.01, 1.0)
    """
    alone = [rate for n, rate in measured if n == 1]
    if len(alone) != 1:
        raise ValueError("one of the pairs must be of one process")
    several = [(n, rate) for n, rate in measured if n > 1]
    own = cluster.batch / alone[0]
    share = [2 * (n - 1) / n for n, _ in several]
    extra = [n * cluster.batch / rate - own - small_sums_s(n, cluster) for n, rate in several]
    overhead, slope = _line(share, extra) if len(several) > 1 else (0.0, max(0.0, extra[0] / share[0]))
    bus = cluster.gradient_bytes / slope if slope > 0 else inf
    return replace(cluster, step_rate=alone[0], overhead_s=overhead, bus_bytes_s=bus)


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Offset and slope of the best line, neither below 0."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread if spread else 0.0
    offset = mean_y - slope * mean_x
    if slope < 0:
        return max(0.0, mean_y), 0.0
    if offset < 0:
        return 0.0, max(0.0, sum(a * b for a, b in zip(x, y, strict=True)) / sum(a * a for a in x))
    return offset, slope


def on_one_machine(batch: int, gradient_bytes: float, measured: Sequence[tuple[int, float]], asked: int) -> float:
    """Pictures/s of `asked` processes that share one machine's cores and each batch, from two measured numbers of them.

    Arithmetic takes as long however many share it; two terms are fitted, the step rate and the exchange's bandwidth.

    >>> on_one_machine(20, 1e6, [(1, 100.0), (2, 80.0)], 1)
    100.0
    >>> round(on_one_machine(20, 1e6, [(1, 100.0), (2, 80.0)], 4), 2)
    72.73
    """
    # as if each had a whole batch and cores of its own: so the sums are those of a cluster
    found = fitted(Cluster(1, 0, batch, gradient_bytes), [(n, n * rate) for n, rate in measured])
    return batch / step_s(replace(found, processes=asked))


@dataclass(frozen=True)
class Published:
    name: str
    cluster: Cluster
    reported: float
    """Pictures/s; from epochs and time where only these are given."""
    note: str

    @property
    def predicted(self) -> float:
        return self.cluster.processes * self.cluster.batch / step_s(self.cluster)


def of_epochs(epochs: float, seconds: float) -> float:
    """Pictures/s of a run on ImageNet."""
    return epochs * IMAGENET / seconds


def published() -> list[Published]:
    """Each prediction uses figures of fewer processes only."""
    nvlink = 300e9  # A100: 600 GB/s both ways
    gaudi = fitted(Cluster(1, 0, 256), [(1, 1700), (8, 12_580), (16, 23_400)])
    p100 = of_epochs(90, 29 * 3600) / 8
    no_term, wire = "nothing fitted; batch 256 assumed", "nothing fitted; NVLink 150 GB/s assumed"
    return [
        Published("A100 x8, mixed (NVIDIA)", Cluster(8, 2470, 256, bus_bytes_s=nvlink), 16_621, no_term),
        Published("A100 x8, TF32 (NVIDIA)", Cluster(8, 938, 256, bus_bytes_s=nvlink), 7248, no_term),
        Published("V100 x8, mixed (NVIDIA)", Cluster(8, 1200, 256, bus_bytes_s=150e9), 8322, wire),
        Published("V100 x8, FP32 (NVIDIA)", Cluster(8, 367, 128, bus_bytes_s=150e9), 2855, wire),
        Published("Gaudi x32 (Habana)", replace(gaudi, processes=32), 46_400, "two terms fitted to 8 and 16"),
        Published(
            "P100 x256 (Goyal 2017)",
            Cluster(256, p100, 32, bus_bytes_s=6.25e9),
            of_epochs(90, 3600),
            "8 GPUs in 29 h; 50 Gbit/s from memory",
        ),
        Published(
            "P100 x1024 (Akiba 2017)",
            Cluster(1024, p100, 32, bus_bytes_s=14e9),
            of_epochs(90, 900),
            "Goyal's 8 GPUs; two links of 56 Gbit/s",
        ),
    ]


@dataclass(frozen=True)
class Local:
    """What is measured here and needed there."""

    decode_rate: float = 537.0
    """Pictures/s a core."""
    hash_bytes_s: float = inf
    latency_s: float = 0.0


def p4d(gpus: int, local: Local) -> Cluster:
    """ResNet-50 in mixed precision on AWS p4d.24xlarge: 8 A100, 48 cores and 400 Gbit/s each.

    Its 8 GPUs give what NVIDIA measured; the rest of that step, 19 ms, is kept as the overhead of more.

    >>> round(8 * 256 / step_s(p4d(8, Local())))
    16621
    """
    one = Cluster(8, 2470, 256, bus_bytes_s=300e9)
    overhead = 256 / (16_621 / 8) - 256 / 2470 - all_reduce_s(one)
    return replace(
        one,
        processes=gpus,
        overhead_s=overhead,
        bus_bytes_s=300e9 if gpus <= 8 else 50e9,
        latency_s=local.latency_s,
        cores=6,
        decode_rate=local.decode_rate,
        hash_bytes_s=local.hash_bytes_s,
        network_bytes_s=50e9,
        requests_s=5500,
        price_hour=21.957642 / 8,
    )
