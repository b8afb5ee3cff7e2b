import pytest
import torch

from noonchi.networks.dropout import Dropout

SHAPE = (64, 16, 15, 15)
VALUES = 64 * 16 * 15 * 15


def after_dropout(share: float, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps (channels last) before and after."""
    torch.manual_seed(seed)
    maps = torch.rand(SHAPE).add_(1).to(dtype).to(memory_format=torch.channels_last).requires_grad_()
    return maps, Dropout(share)(maps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("share", [0.25, 0.3, 0.5])
def test_the_share_asked_for_is_dropped_and_the_rest_keeps_the_mean(share, dtype):
    maps, answer = after_dropout(share, dtype=dtype)
    kept = answer != 0
    assert kept.double().mean().item() == pytest.approx(1 - share, abs=5 * (share * (1 - share) / VALUES) ** 0.5)
    scale = torch.tensor(1 / (1 - share)).to(dtype)
    torch.testing.assert_close(answer[kept], (maps * scale)[kept])


def test_values_are_dropped_one_by_one():
    _, answer = after_dropout(0.5)
    dropped = (answer == 0).double()
    for dimension in range(4):
        neighbours = torch.corrcoef(torch.stack((dropped, dropped.roll(1, dimension))).reshape(2, -1))[0, 1]
        assert abs(neighbours) < 5 / VALUES**0.5, dimension


def test_the_gradient_goes_where_the_values_went():
    maps, answer = after_dropout(0.25)
    answer.sum().backward()
    torch.testing.assert_close(maps.grad, answer.detach() / maps.detach())


def test_the_draws_are_a_function_of_torchs_seed():
    assert torch.equal(after_dropout(0.5, seed=1)[1], after_dropout(0.5, seed=1)[1])
    assert not torch.equal(after_dropout(0.5, seed=1)[1], after_dropout(0.5, seed=2)[1])


def test_the_answer_lies_in_memory_as_the_maps_do():
    assert after_dropout(0.5)[1].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("share", "training"), [(0.0, True), (0.5, False)])
def test_nothing_is_changed_where_nothing_is_to_be_dropped(share, training):
    values = torch.rand(7, 5)
    assert torch.equal(Dropout(share).train(training)(values), values)


def test_nearly_all_may_be_dropped():
    assert Dropout(0.9999999)(torch.ones(1000)).isfinite().all()


def test_an_empty_batch_and_a_number_of_values_that_is_not_a_multiple_of_four_pass():
    for count in (0, 1, 3, 5):
        assert Dropout(0.5)(torch.ones(count)).shape == (count,)
