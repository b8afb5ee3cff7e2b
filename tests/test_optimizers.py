import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from noonchi.optimizers import learning_rate, optimizer_for
from noonchi.settings import FitSettings

START = np.array([0.5, -1.0, 2.0, 0.0])
GRADIENTS = np.array([[0.3, -0.02, 1.5, 0.7], [0.1, 0.4, -2.0, 0.7], [-0.5, 0.01, 0.0, 0.7]])
LR = 0.05


def moved(**settings: object) -> np.ndarray:
    """Where the weights are after each of the three gradients."""
    layer = nn.ParameterList([nn.Parameter(torch.tensor(START, dtype=torch.float32))])
    optimizer = optimizer_for(layer, FitSettings(peak_lr=LR, **settings))
    places = []
    for gradient in GRADIENTS:
        layer[0].grad = torch.tensor(gradient, dtype=torch.float32)
        optimizer.step()
        places.append(layer[0].detach().numpy().copy())
    return np.array(places)


def walked(change: object) -> np.ndarray:
    """The same by a formula: what is added to the weights for each gradient."""
    places, weights = [], START
    for number, gradient in enumerate(GRADIENTS, start=1):
        weights = weights + change(gradient, weights, number)
        places.append(weights)
    return np.array(places)


# One step after the other, by each method's formula


def test_rmsprop_starts_from_keras_defaults():
    squares = 0.0

    def change(gradient, weights, number):
        nonlocal squares
        squares = 0.9 * squares + 0.1 * gradient**2
        return -LR * gradient / (np.sqrt(squares) + 1e-7)

    assert moved(optimizer="rmsprop") == pytest.approx(walked(change), rel=1e-5, abs=1e-7)


def test_rmsprop_in_one_pass_goes_where_torchs_goes_and_takes_over_its_state():
    torch.manual_seed(0)
    sizes = [(300, 200), (64, 32, 3, 3), (7,)]
    ours, plain = (nn.ParameterList([nn.Parameter(torch.ones(size)) for size in sizes]) for _ in range(2))
    settings = FitSettings(optimizer="rmsprop", peak_lr=LR, weight_decay=0.01)
    optimizer = optimizer_for(ours, settings)
    torchs = torch.optim.RMSprop(plain.parameters(), LR, alpha=0.9, eps=1e-7, weight_decay=0.01)
    for step in range(6):
        for own, other in zip(ours, plain, strict=True):
            other.grad = torch.randn_like(other) * 10.0 ** torch.randint(-9, 3, other.shape)
            own.grad = other.grad.clone()
        torchs.step()
        optimizer.step()
        for own, other in zip(ours, plain, strict=True):
            torch.testing.assert_close(own.detach(), other.detach(), rtol=0, atol=1e-5 * LR)
        if step == 2:  # a run begun with either goes on with the other
            optimizer.load_state_dict(copy.deepcopy(torchs.state_dict()))


def test_rmsprop_with_momentum_adds_up_scaled_gradients_as_keras_does():
    squares = velocity = 0.0

    def change(gradient, weights, number):
        nonlocal squares, velocity
        squares = 0.8 * squares + 0.2 * gradient**2
        velocity = 0.5 * velocity - LR * gradient / (np.sqrt(squares) + 1e-7)
        return velocity

    assert moved(optimizer="rmsprop", rho=0.8, momentum=0.5) == pytest.approx(walked(change), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_starts_from_keras_defaults_and_weight_decay_is_decoupled_in_adamw_alone(optimizer, decay):
    mean = squares = 0.0

    def change(gradient, weights, number):
        nonlocal mean, squares
        apart = -LR * decay * weights if optimizer == "adamw" else 0.0
        gradient = gradient + (decay * weights if optimizer == "adam" else 0.0)
        mean = 0.9 * mean + 0.1 * gradient
        squares = 0.999 * squares + 0.001 * gradient**2
        return apart - LR * (mean / (1 - 0.9**number)) / (np.sqrt(squares / (1 - 0.999**number)) + 1e-7)

    assert moved(optimizer=optimizer, weight_decay=decay) == pytest.approx(walked(change), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_moves_as_keras_defines_it(momentum, nesterov):
    velocity = 0.0

    def change(gradient, weights, number):
        nonlocal velocity
        velocity = momentum * velocity - LR * gradient
        return momentum * velocity - LR * gradient if nesterov else velocity

    ours = moved(optimizer="sgd", momentum=momentum, nesterov=nesterov)
    assert ours == pytest.approx(walked(change), rel=1e-5, abs=1e-7)


def test_weights_that_do_not_train_are_left_alone():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(requires_grad=False)
    (group,) = optimizer_for(network, FitSettings()).param_groups
    assert [id(weight) for weight in group["params"]] == [id(weight) for weight in network[1].parameters()]


WAYS = [
    {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"optimizer": "rmsprop", "momentum": 0.5},
    {"optimizer": "adam", "weight_decay": 0.01},
    {"optimizer": "adamw", "weight_decay": 0.01},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way["optimizer"])
def test_an_optimizer_takes_torch_s_own_steps_bit_for_bit(way):
    ours, theirs = nn.Linear(9, 5), nn.Linear(9, 5)
    theirs.load_state_dict(ours.state_dict())
    optimizer = optimizer_for(ours, FitSettings(**way))
    plain = type(optimizer).__base__(theirs.parameters())
    group = optimizer.param_groups[0]
    plain.param_groups[0].update({name: value for name, value in group.items() if name != "params"})
    for step in range(4):
        for network, moves in ((ours, optimizer), (theirs, plain)):
            moves.zero_grad()
            network(torch.full((2, 9), step + 0.5)).square().sum().backward()
            moves.step()
        optimizer.load_state_dict(optimizer.state_dict())
    assert type(plain).__module__.startswith("torch.")
    assert ours.weight.tolist() == theirs.weight.tolist()
    state, expected = optimizer.state_dict(), plain.state_dict()
    assert str(state["state"]) == str(expected["state"])
    assert state["param_groups"] == expected["param_groups"]


_TRAIN = """
import sys
import numpy as np
import noonchi

data = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 2
changes = ["record.plots=false", "record.tensorboard=false", "record.report=false"]
changes += ["fit.ema_decay=0.9", "fit.clip_norm=1"]
for name in ("sgd", "rmsprop", "adam", "adamw"):
    folder = f"{sys.argv[1]}/{name}"
    noonchi.train(data, "mnist-one-conv", out=folder, epochs=1, overrides=[*changes, f"fit.optimizer={name}"])
    noonchi.resume(folder, data)
print([name for name in ("torch._dynamo", "torch._inductor", "sympy", "matplotlib") if name in sys.modules])
"""


def test_training_does_not_wait_for_torch_s_compiler_to_be_imported(tmp_path):
    command = [sys.executable, "-c", _TRAIN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


# Schedules


def curve(steps_per_epoch: int = 10, **settings: object) -> list[float]:
    asked = FitSettings(**{"peak_lr": 1.0, "epochs": 4, **settings})
    return [learning_rate(asked, step, steps_per_epoch) for step in range(asked.epochs * steps_per_epoch)]


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_a_constant_rate_is_the_peak_at_every_step(schedule):
    assert set(curve(schedule=schedule)) == {1.0}


@pytest.mark.parametrize("schedule", ["constant", "plateau", "step", "cosine", "one-cycle"])
def test_warm_up_climbs_from_near_zero_to_the_peak_under_any_schedule(schedule):
    rates = curve(schedule=schedule, warmup_share=0.25)
    assert 0 < rates[0] < 0.1
    assert np.diff(rates[:11]) == pytest.approx(np.full(10, (1 - rates[0]) / 10))
    assert rates[10] == 1.0


def test_cosine_is_halfway_down_in_the_middle_and_nearly_at_its_end_in_the_last_step():
    rates = curve(schedule="cosine", final_lr_share=0.2)
    assert rates[0] == 1.0
    assert rates[20] == pytest.approx(0.6)
    assert rates[10] == pytest.approx(0.2 + 0.8 * (1 + 2**-0.5) / 2)
    assert 0.2 < rates[-1] < 0.21
    assert (np.diff(rates) < 0).all()


def test_one_cycle_climbs_for_three_tenths_and_falls_to_its_end():
    rates = curve(schedule="one-cycle")
    assert rates[0] == 1 / 25
    assert rates.index(max(rates)) == 12
    assert rates[12] == 1.0
    assert (np.diff(rates[:13]) > 0).all()
    assert (np.diff(rates[12:]) < 0).all()
    assert rates[-1] < 0.01


def test_step_multiplies_by_the_factor_every_so_many_epochs():
    rates = curve(schedule="step", epochs=5, step_epochs=2, step_factor=0.5)
    assert rates == [1.0] * 20 + [0.5] * 20 + [0.25] * 10


SHARES = st.floats(0, 0.999)
SETTINGS = st.builds(
    FitSettings,
    epochs=st.integers(1, 50),
    peak_lr=st.floats(1e-9, 100),
    schedule=st.sampled_from(["constant", "step", "cosine", "one-cycle", "plateau"]),
    warmup_share=SHARES,
    final_lr_share=SHARES,
    step_epochs=st.integers(1, 60),
    step_factor=st.floats(0.01, 0.99),
)


@given(SETTINGS, st.integers(1, 40), st.data())
def test_the_rate_is_never_negative_and_never_above_the_peak(settings, steps_per_epoch, data):
    step = data.draw(st.integers(0, settings.epochs * steps_per_epoch - 1))
    assert 0 <= learning_rate(settings, step, steps_per_epoch) <= settings.peak_lr
