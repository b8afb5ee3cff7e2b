import numpy as np
import pytest
import torch

from noonchi import augment
from noonchi.settings import AugmentSettings


def mixing(seed: int = 0, **settings) -> augment.Mixing | None:
    return augment.draw_mixing(AugmentSettings(**settings), 6, 20, 30, np.random.default_rng(seed))


def numbered() -> torch.Tensor:
    return torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 20, 30)


def test_nothing_is_mixed_unless_asked():
    assert mixing() is None


def test_mixup_blends_each_picture_with_its_partner():
    made = mixing(mixup=1.0)
    mixed = made.apply(numbered(), numbered()[made.order])
    expected = torch.lerp(torch.arange(6.0), torch.from_numpy(made.order).float(), made.share)
    assert torch.allclose(mixed[:, 0, 3, 3], expected)


def test_cutmix_takes_the_share_s_area_from_the_partner():
    made = mixing(seed=3, cutmix=1.0)
    mixed = made.apply(numbered(), numbered()[made.order])
    for at in range(6):
        other = int(made.order[at])
        if other != at:
            assert (mixed[at, 0] == other).float().mean().item() == pytest.approx(made.share)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_the_own_label_always_weighs_most(name):
    assert max(mixing(seed, **{name: 1.0}).share for seed in range(50)) <= 0.5


def test_with_both_each_batch_draws_one():
    kinds = {mixing(seed, mixup=1.0, cutmix=1.0).rectangle is None for seed in range(20)}
    assert kinds == {True, False}
