from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from noonchi import batches, sources
from noonchi.batches import Batches, Passes
from noonchi.errors import DataError
from noonchi.results import Head, Note, Reading
from noonchi.settings import AugmentSettings, DataSettings, DeviceSettings, PixelSettings, RunSettings

NUMBER = Head("number", "classes", tuple(str(number) for number in range(50)))
ODD = Head("odd", "binary", ("even", "odd"))
GREY = PixelSettings(size=(2, 2), channels=1)


@pytest.fixture
def numbered() -> Batches:
    """50 pictures, each of the level that is its number; 23 of them, in no order, are the split's."""
    frames = np.repeat(np.arange(50, dtype=np.uint8), 4).reshape(50, 2, 2, 1)
    labels = {"number": np.arange(50), "odd": np.arange(50) % 2}
    positions = np.random.default_rng(1).permutation(50)[:23]
    return Batches(frames, labels, positions, (NUMBER, ODD), GREY, size=5, seed=3)


def numbers(batch: batches.Batch) -> list[int]:
    """Which pictures a batch holds, by their pixels; their labels must agree."""
    pictured = (batch.images[:, 0, 0, 0] * 255).round().long()
    assert torch.equal(batch.targets["number"], pictured)
    assert torch.equal(batch.targets["odd"], pictured % 2)
    return pictured.tolist()


def order(data: Batches, epoch: int, first_step: int = 0) -> list[list[int]]:
    return [numbers(batch) for batch in data.of_epoch(epoch, first_step)]


# Order


@pytest.mark.parametrize("epoch", [1, 2, 77])
def test_every_epoch_visits_every_picture_of_the_split_once(numbered, epoch):
    assert sorted(chain(*order(numbered, epoch))) == sorted(numbered.positions.tolist())


def test_an_epochs_order_is_its_own_and_the_same_each_time(numbered):
    first, again, second = order(numbered, 1), order(numbered, 1), order(numbered, 2)
    assert first == again != second
    assert order(replace(numbered, seed=4), 1) != first


def test_the_order_is_not_that_of_torchs_or_numpys_generator(numbered):
    first = order(numbered, 1)
    torch.manual_seed(5)
    np.random.seed(5)
    assert order(numbered, 1) == first


def test_epochs_may_be_read_side_by_side(numbered):
    one, other = numbered.of_epoch(1), numbered.of_epoch(2)
    pairs = [(numbers(a), numbers(b)) for a, b in zip(one, other, strict=True)]
    assert [a for a, _ in pairs] == order(numbered, 1)
    assert [b for _, b in pairs] == order(numbered, 2)


@pytest.mark.parametrize("step", range(6))
def test_from_a_later_step_on_come_the_last_batches_of_the_same_epoch(numbered, step):
    assert order(numbered, 4, first_step=step) == order(numbered, 4)[step:]


def test_in_order_means_the_order_of_the_split(numbered):
    assert list(chain(*map(numbers, numbered.in_order()))) == numbered.positions.tolist()


# Batches


def test_only_the_last_batch_is_smaller(numbered):
    assert [len(each) for each in order(numbered, 1)] == [5, 5, 5, 5, 3]
    assert (len(numbered), numbered.num_pictures) == (5, 23)


def test_a_split_that_divides_evenly_has_no_small_batch(numbered):
    assert [len(each) for each in order(replace(numbered, positions=np.arange(10)), 1)] == [5, 5]


@pytest.mark.parametrize(("count", "sizes"), [(21, [5, 5, 5, 6]), (6, [6]), (1, [1])])
def test_a_lone_last_picture_joins_the_batch_before(numbered, count, sizes):
    split = replace(numbered, positions=np.arange(count))
    assert [len(each) for each in order(split, 1)] == sizes
    assert order(split, 1, first_step=len(sizes) - 1) == order(split, 1)[-1:]


def test_an_empty_split_has_no_batches(numbered):
    empty = replace(numbered, positions=np.arange(0))
    assert (len(empty), list(empty.of_epoch(1)), list(empty.in_order())) == (0, [], [])


def test_images_are_normalised_float32_channels_first(numbered):
    colour = replace(
        numbered,
        frames=np.full((50, 4, 6, 3), 51, np.uint8),
        pixels=PixelSettings(size=(4, 6), channels=3, mean=(0.1,), std=(0.5,)),
    )
    images = next(colour.of_epoch(1)).images
    assert (images.shape, images.dtype) == ((5, 3, 4, 6), torch.float32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.unique().tolist() == pytest.approx([0.2])


def test_a_batch_is_a_copy(numbered):
    before = numbered.frames.copy()
    for batch in [*numbered.of_epoch(1), *numbered.in_order()]:
        batch.images.zero_()
    assert (numbered.frames == before).all()


# Frames on disk


class Watched(np.memmap):
    """Notes how many pictures each look at the file takes."""

    looks: list[int]

    def __getitem__(self, key: object) -> np.ndarray:
        taken = np.asarray(super().__getitem__(key))
        self.looks.append(len(taken))
        return taken


def test_of_frames_on_disk_only_a_batch_is_read(numbered, tmp_path):
    numbered.frames.tofile(tmp_path / "frames.bin")
    frames = Watched(tmp_path / "frames.bin", np.uint8, "r", shape=numbered.frames.shape)
    frames.looks = []
    on_disk = replace(numbered, frames=frames)
    assert order(on_disk, 1) == order(numbered, 1)
    assert frames.looks == [5, 5, 5, 5, 3]
    assert isinstance(on_disk.frames, np.memmap)


# Splits of an index


def run(**data: object) -> RunSettings:
    return RunSettings(
        pixels=GREY, device=DeviceSettings(name="cpu"), data=DataSettings(**data), batches={"size": 5}, seed=3
    )


def test_splits_share_the_frames_and_divide_the_pictures():
    images = np.random.default_rng(0).integers(0, 256, (60, 2, 2, 1), np.uint8)
    index = sources.load((images, np.arange(60) % 3), DataSettings(validation_share=0.2, test_share=0.2))
    frames, index = batches.frames_of(index, run(), lambda _: None)
    parts = [batches.of_split(frames, index, split, run()) for split in ("train", "val", "test")]
    assert all(part.frames is frames and part.num_pictures for part in parts)
    assert sorted(np.concatenate([part.positions for part in parts]).tolist()) == list(range(60))


@pytest.fixture
def half_broken(tmp_path, monkeypatch) -> sources.Index:
    """Two classes of four pictures, of which one of each breaks off."""
    from PIL import Image

    monkeypatch.setenv("NOONCHI_CACHE", str(tmp_path / "cache"))
    for number in range(8):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 7), np.uint8)).save(path)
        if number in (4, 5):
            path.write_bytes(path.read_bytes()[:60])
    return sources.load(tmp_path / "photos")


def test_unusable_pictures_are_shown_and_belong_to_no_split(half_broken):
    shown = []
    frames, index = batches.frames_of(half_broken, run(max_unusable=0.5), shown.append)
    notes = [event.text.split(": ") for event in shown if isinstance(event, Note)]
    assert [note[1] for note in notes if note[0] == "not usable"] == ["a/4.png", "b/5.png"]
    assert [each for each in shown if isinstance(each, Reading)][-1] == Reading(8, 8)
    parts = [batches.of_split(frames, index, split, run()) for split in ("train", "val", "test")]
    assert sum(part.num_pictures for part in parts) == 6


def test_too_many_unusable_pictures_are_refused(half_broken):
    with pytest.raises(DataError, match=r"2 of 8 pictures cannot be used, first 'a/4.png': .*max_unusable"):
        batches.frames_of(half_broken, run(max_unusable=0.2), lambda _: None)


# The caller's own iterables


def test_passes_give_the_pairs_as_they_come():
    pairs = [(torch.full((2, 1), float(number)), torch.tensor([number, 0])) for number in range(4)]
    passes = Passes(pairs)
    assert len(passes) == 4
    for given in (passes.of_epoch(9), passes.in_order()):
        assert [(batch.images, batch.targets["label"]) for batch in given] == pairs
    assert [batch.targets["label"][0].item() for batch in passes.of_epoch(1, first_step=3)] == [3]


# Augmentation


@pytest.fixture
def varied() -> Batches:
    frames = np.random.default_rng(2).integers(0, 256, (20, 12, 10, 3), dtype=np.uint8)
    settings = AugmentSettings(rotation_degrees=40, zoom=0.2, brightness=0.2, erasing=0.3, mixup=0.4, cutmix=1.0)
    colour = PixelSettings(size=(12, 10), channels=3)
    labels = {"number": np.arange(20), "odd": np.arange(20) % 2}
    return Batches(frames, labels, np.arange(20), (NUMBER, ODD), colour, size=6, seed=3, augment=settings)


def same_batches(one: list[batches.Batch], other: list[batches.Batch]) -> bool:
    return all(torch.equal(a.images, b.images) for a, b in zip(one, other, strict=True))


def test_each_epoch_varies_its_pictures_anew_and_the_same_each_time(varied):
    first, again, second = list(varied.of_epoch(1)), list(varied.of_epoch(1)), list(varied.of_epoch(2))
    assert same_batches(first, again)
    assert not same_batches(first, second)
    assert not same_batches(first, list(replace(varied, seed=4).of_epoch(1)))


@pytest.mark.parametrize("step", range(5))
def test_from_a_later_step_on_the_pictures_are_varied_as_in_the_whole_epoch(varied, step):
    assert same_batches(list(varied.of_epoch(2, step)), list(varied.of_epoch(2))[step:])


def test_varied_pictures_do_not_depend_on_the_number_of_threads(varied):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = list(varied.of_epoch(1))
    finally:
        torch.set_num_threads(threads)
    assert same_batches(alone, list(varied.of_epoch(1)))


def test_what_is_evaluated_is_never_varied(varied):
    plain = replace(varied, augment=AugmentSettings())
    assert same_batches(list(varied.in_order()), list(plain.in_order()))


def test_a_mixed_batch_carries_the_partners_labels(varied):
    mixup = replace(varied, augment=AugmentSettings(mixup=1.0))
    plain = {
        number: image for batch in varied.in_order() for number, image in zip(*numbers_and_images(batch), strict=True)
    }
    for batch in mixup.of_epoch(1):
        own, images = numbers_and_images(batch)
        partners = batch.mixed.targets["number"].tolist()
        for number, partner, image in zip(own, partners, images, strict=True):
            expected = torch.lerp(plain[number], plain[partner], batch.mixed.share)
            assert torch.allclose(image, expected, atol=1e-6)


def numbers_and_images(batch: batches.Batch) -> tuple[list[int], torch.Tensor]:
    return batch.targets["number"].tolist(), batch.images


def test_large_pictures_are_validated_fewer_at_once():
    settings = PixelSettings(size=(150, 150), channels=3)
    frames = np.zeros((130, 150, 150, 3), np.uint8)
    split = Batches(frames, {}, np.arange(130), (), settings, 32, 0)
    assert [len(batch.images) for batch in split.in_order()] == [9] * 14 + [4]
