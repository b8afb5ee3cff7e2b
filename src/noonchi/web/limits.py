"""How much a server takes from those who ask it, and for how long it waits for them."""

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Beyond each of these a request is refused; pixels have a limit of their own where they are decoded."""

    file_bytes: int = 20 * MIB
    request_bytes: int = 64 * MIB
    bytes_at_once: int = 256 * MIB
    """Of all requests' bodies that are held."""
    files: int = 64
    """Of one request."""
    header_bytes: int = 32 * 2**10
    """Of a request's first line and headers."""
    waiting_pictures: int = 1024
    waiting_explanations: int = 8
    connections: int = 2000
    headers_s: float = 10.0
    """From a connection's beginning, or a request's first byte, to the end of its headers."""
    pause_s: float = 10.0
    """Without a byte of a body."""
    least_bytes_per_s: int = 50_000
    """Of a body, in the mean, once `pause_s` is over."""
    answer_s: float = 30.0
    """From the whole request to its answer."""
    stuck_s: float = 5.0
    """A worker that answers so much later still is stuck, and is killed."""
    start_s: float = 120.0
    """Until a worker has loaded its classifiers."""
    stop_s: float = 10.0
    """For what is under way when the server is told to stop."""
