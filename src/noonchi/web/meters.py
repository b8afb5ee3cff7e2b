"""What is counted, as Prometheus reads it: in a registry of its own, so that nothing of the process's is told."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PICTURES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, of when it began


class Meters:
    """Counts of one server."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        labels = ("route", "method", "status")
        requests = Counter("noonchi_requests", "Requests answered.", labels, registry=own)
        seconds = Histogram(
            "noonchi_request_seconds",
            "From a request's headers to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=own,
        )
        pictures = Counter(
            "noonchi_pictures", "Pictures, by whether they could be read.", ("model", "read"), registry=own
        )
        self.batches = Histogram("noonchi_batch_pictures", "Pictures of one batch.", buckets=_PICTURES, registry=own)
        self.waiting = Gauge("noonchi_waiting_pictures", "Pictures that wait for the worker.", registry=own)
        self.ready = Gauge("noonchi_worker_ready", "Whether the worker can be asked.", registry=own)
        self.restarts = Gauge("noonchi_worker_restarts", "How often the worker was started again.", registry=own)
        self._request = cache(requests.labels)  # finding a label costs more than counting
        self._second = cache(seconds.labels)
        self._picture = cache(pictures.labels)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._request(route, method, str(status)).inc()
        self._second(route).observe(seconds)

    def predicted(self, model: str, read: int, unread: int) -> None:
        """Count pictures that were answered, and those that could not be read."""
        self._picture(model, "yes").inc(read)
        self._picture(model, "no").inc(unread)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
