import math

import pytest
import torch
from torch import nn

from noonchi.networks.pooling import relu_and_pool

INFINITY = math.inf


def both(maps: torch.Tensor, pooling: nn.MaxPool2d) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Answer and gradient, of ours and of torch's."""
    outcomes = []
    for way in (relu_and_pool, lambda maps, pooling: torch.relu(pooling(maps))):
        taken = maps.detach().clone().requires_grad_()
        answer = way(taken, pooling)
        answer.backward(torch.randn(answer.shape, generator=torch.Generator().manual_seed(1)).to(answer.dtype))
        outcomes.append((answer.detach(), taken.grad))
    return outcomes


def same(maps: torch.Tensor, pooling: nn.MaxPool2d | None = None) -> bool:
    ours, torchs = both(maps, pooling or nn.MaxPool2d(2))
    return all(torch.equal(one, other) and one.dtype == other.dtype for one, other in zip(ours, torchs, strict=True))


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("sides", [(8, 8), (9, 7), (2, 3), (75, 150)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_bits_are_those_of_torch_in_any_size_and_layout(sides, dtype, layout):
    assert same(drawn(3, 5, *sides).to(dtype).to(memory_format=layout))


def test_of_equal_numbers_the_first_has_the_gradient():
    assert same(drawn(4, 8, 32, 32).round().bfloat16())  # most windows hold the largest twice


def test_zeros_of_either_sign_have_no_gradient():
    assert same(torch.tensor([0.0, -0.0]).bfloat16().repeat(2, 3, 4, 2))


def test_infinities_and_the_smallest_numbers_count_as_what_they_are():
    extremes = torch.tensor([INFINITY, -INFINITY, 1e-40, -1e-40, 3e38, -3e38, 1.0, 0.0]).bfloat16()
    places = torch.randint(8, (16, 4, 10, 10), generator=torch.Generator().manual_seed(0))
    assert same(extremes[places])


def test_a_gradient_that_is_not_finite_arrives():
    maps = torch.ones(1, 1, 2, 2, dtype=torch.bfloat16, requires_grad=True)
    relu_and_pool(maps, nn.MaxPool2d(2)).backward(torch.full((1, 1, 1, 1), math.nan).bfloat16())
    assert maps.grad[0, 0, 0, 0].isnan()


@pytest.mark.parametrize(("bits", "answer"), [(0x7FC0, "nan"), (-0x40, "5.0")])
def test_a_nan_counts_as_its_sign_says(bits, answer):
    maps = torch.full((1, 1, 2, 2), 5.0, dtype=torch.bfloat16)
    maps.view(torch.int16)[..., 0] = bits
    assert str(relu_and_pool(maps.requires_grad_(), nn.MaxPool2d(2)).item()) == answer


@pytest.mark.parametrize(
    "pooling",
    [
        nn.MaxPool2d(3),
        nn.MaxPool2d(2, stride=1),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(2, dilation=2),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d((2, 2)),
    ],
)
def test_any_other_window_is_torchs(pooling):
    assert same(drawn(2, 4, 9, 9).bfloat16(), pooling)


def test_the_maps_stay_as_they_were():
    maps = drawn(2, 4, 8, 8).bfloat16().requires_grad_()
    before = maps.detach().clone()
    relu_and_pool(maps, nn.MaxPool2d(2)).sum().backward()
    assert torch.equal(maps.detach(), before)
