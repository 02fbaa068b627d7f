"""Images that stay bytes: what is taken of them is bit for bit what float tensors gave."""

import hashlib

import pytest
import torch
from float_images import load

from palimpsest.benchmark.data.formats import images
from palimpsest.benchmark.data.formats.images import load_pixels
from palimpsest.benchmark.data.formats.pixels import Pixels
from palimpsest.benchmark.scenarios.families.permuted import Permuted
from palimpsest.benchmark.scenarios.families.rotated import Rotated
from palimpsest.benchmark.scenarios.families.split import Split
from palimpsest.benchmark.scenarios.families.two_models import TwoModels
from palimpsest.benchmark.scenarios.loading import load_data_set, load_float_data_set
from palimpsest.benchmark.scenarios.streams import transformed as transforms
from palimpsest.benchmark.scenarios.streams.in_memory import InMemoryDataset
from palimpsest.benchmark.scenarios.streams.parts import Amounts
from palimpsest.benchmark.training.template import Batches
from palimpsest.strategies.curvature.fisher import draw

N = 40


def make(channels=3, seed=0, n=N):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, channels, 5, 5)
    stored = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    mean = torch.rand(1, channels, 1, 1, generator=generator) * 255
    std = torch.rand(1, channels, 1, 1, generator=generator) * 60 + 1
    return Pixels(stored, mean, std)


def floats(pixels):
    """All at once, as data sets were normalised when they were loaded."""
    everything = pixels.stored.to(torch.float32).sub_(pixels.mean).div_(pixels.std)
    return everything if pixels.rows is None else everything[pixels.rows]


SUBSETS = {
    "all": lambda p: p,
    "rows": lambda p: p.subset(torch.tensor([3, 1, 39, 1])),
    "mask": lambda p: p.subset(torch.arange(N) % 3 == 0),
    "of a subset": lambda p: p.subset(torch.arange(N) % 2 == 0).subset(torch.tensor([4, 2, 9, 0])),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", SUBSETS)
def test_what_is_taken_is_bit_for_bit_what_float_tensors_gave(kind, channels):
    pixels = SUBSETS[kind](make(channels))
    whole = floats(pixels)
    assert pixels.shape == whole.shape
    assert len(pixels) == len(whole) == pixels.size(0)
    mask = torch.arange(len(whole)) % 2 == 0
    for index in (slice(None), slice(1, 3), torch.tensor([2, 0, 2]), mask, 1):
        found = pixels[index]
        assert found.dtype == torch.float32
        assert torch.equal(found, whole[index])
    assert pixels.stored.dtype == torch.uint8
    assert torch.equal(pixels[:], whole)  # nothing was written to


def test_moved_pixels_stay_bytes():
    pixels = make().subset(torch.tensor([5, 7]))
    turned = pixels.moved(lambda x: x.rot90(1, (-2, -1)))
    assert turned.stored.dtype == torch.uint8
    assert torch.equal(turned[:], pixels[:].rot90(1, (-2, -1)))


def test_pixels_that_are_added_stay_bytes():
    pixels = make().subset(torch.tensor([5, 7]))
    padded = pixels.moved(lambda x: transforms.pad(x, 1))
    assert padded.stored.dtype == torch.uint8
    assert padded.shape == (2, 3, 7, 7)
    assert torch.equal(padded[:][..., 1:-1, 1:-1], pixels[:])
    assert (padded.stored[..., 0] == 0).all()


def test_joined_images_are_those_of_both():
    one, other = make(), make(seed=1)
    same = Pixels(other.stored, one.mean, one.std)
    halves = [one.subset(torch.arange(i, N, 2)) for i in range(2)]
    assert halves[0].joined(halves[1]).stored is one.stored
    for a, b in ((halves[0], halves[1]), (one, halves[0]), (one, same)):
        assert torch.equal(a.joined(b)[:], torch.cat([a[:], b[:]]))
    assert one.joined(other) is None
    sets = [InMemoryDataset.of(p, torch.arange(N) % 4, i) for i, p in enumerate((one, other))]
    assert torch.equal(sets[0].concat(sets[1]).tensors[0], torch.cat([one[:], other[:]]))


def test_batches_importance_samples_and_avalanches_items_are_the_same():
    pixels, y = make().subset(torch.arange(N).flip(0)), torch.arange(N) % 4
    plain, bytes_ = (InMemoryDataset.of(x, y, 0) for x in (floats(pixels), pixels))
    for steps in (None, 9):
        pairs = zip(
            Batches(plain.samples, 7, steps), Batches(bytes_.samples, 7, steps), strict=True
        )
        for (x, targets, _), (own, labels, _) in pairs:
            assert torch.equal(x, own) and torch.equal(targets, labels)
    drawn = [draw(d, 11, torch.Generator().manual_seed(1)) for d in (plain, bytes_)]
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))
    for i in (0, 17):
        assert torch.equal(plain[i][0], bytes_[i][0])
    subset = bytes_.subset([4, 1])
    assert subset.samples is None and subset.tensors is None
    assert torch.equal(subset[0][0], plain[4][0])


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_data_sets_have_the_numbers_that_they_had(name, real_data, tmp_path):
    root = real_data("MNIST") if name == "mnist" else tmp_path
    raw = images._read(name, root)
    mean, std = images.statistics(raw.train_x)
    found = load_pixels(name, root)
    assert load_pixels(name, root) is found
    assert found.train_x.stored.dtype == torch.uint8
    whole = load(name, root)
    for split, stored in (("train_x", raw.train_x), ("test_x", raw.test_x)):
        expected = stored.to(torch.float32).sub_(mean).div_(std)
        assert torch.equal(getattr(found, split)[:], expected)
        assert torch.equal(getattr(whole, split), expected)


def test_the_digits_are_those_of_the_first_results(tmp_path):
    """A digest of the normalised numbers as they were when all were floats."""
    x = load_data_set("digits", tmp_path, Amounts(300), "cpu").part.train[0][:]
    digest = hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest()[:16]
    assert digest == DIGITS
    same = load_float_data_set("digits", tmp_path, Amounts(300), "cpu").part.train[0]
    assert isinstance(same, torch.Tensor)
    assert torch.equal(same, x)


def test_unit_pixels_are_brightness_from_0_to_1(tmp_path):
    raw = images._read("digits", tmp_path)
    own = load_data_set("digits", tmp_path, Amounts(validation=0.0), "cpu", "unit").part
    for (found, labels), stored, wanted in (
        (own.train, raw.train_x, raw.train_y),
        (own.test, raw.test_x, raw.test_y),
    ):
        assert torch.equal(labels, wanted)
        assert torch.equal(found[:], stored.float() / 255)
    settings = Split(data="digits", pixels="unit")
    assert torch.equal(settings.load_images(tmp_path, "cpu").part.test[0][:], own.test[0][:])
    assert torch.equal(settings.load_data(tmp_path, "cpu").part.test[0], own.test[0][:])
    plain = Split(data="digits").load_data(tmp_path, "cpu").part.test[0]
    assert not torch.equal(plain, own.test[0][:])  # no mix-up in a cache


DIGITS = "ab067f65d078cac6"

CURVE = {"every": 0}
SHARING = {
    "split": Split(data="digits", width=8, curve=CURVE),
    "two models": TwoModels(data="digits", width=8, curve=CURVE),
    "turned around": TwoModels(data="digits", second_data="rotated", width=8, curve=CURVE),
    "permuted": Permuted(data="digits", width=8, curve=CURVE),
}


@pytest.mark.parametrize("case", SHARING)
def test_all_experiences_of_a_scenario_stay_bytes(case, tmp_path):
    scenario = SHARING[case].build(0, tmp_path, "cpu")
    for stream in (scenario.train, scenario.validation, scenario.test, scenario.curve_data):
        for experience in stream:
            assert isinstance(experience.dataset.samples[0], Pixels)
    if case in {"split", "two models"}:
        stored = {id(e.dataset.samples[0].stored) for e in scenario.train + scenario.validation}
        assert len(stored) == 1


def test_images_turned_by_other_angles_are_new_numbers(tmp_path):
    scenario = Rotated(data="digits", width=8, curve=CURVE).build(0, tmp_path, "cpu")
    first, second = (e.dataset.samples[0] for e in scenario.train[:2])
    assert isinstance(first, Pixels)
    assert isinstance(second, torch.Tensor)
