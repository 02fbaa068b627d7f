"""Augmentation: each sample as torchvision changes it, the same for a seed, nothing else."""

import copy

import numpy as np
import pytest
import torch
import yaml
from avalanche.training.plugins import SupervisedPlugin
from one_run import TWO_MODELS, execute, run_of
from PIL import Image
from torchvision.transforms.v2 import functional

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.data.formats.pixels import Pixels
from palimpsest.benchmark.runs.preparation import TRAINING, prepare
from palimpsest.benchmark.scenarios.settings.augment import Augment, Jitter
from palimpsest.benchmark.training import augmentation
from palimpsest.benchmark.training.augmentation import Scale, augmented

N, H, W = 30, 7, 9
EVERYTHING = {
    "crop": 2,
    "flip": True,
    "cutout": 3,
    "jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
}
ON_GREY = EVERYTHING | {"jitter": {"brightness": 0.4, "contrast": 0.4}}
SCENARIO = TWO_MODELS | {
    "steps": 8,
    "hidden_layers": [2, 2],
    "shared_layers": 1,
    "curve": {"every": 4},
}


@pytest.fixture
def images():
    x = torch.rand(N, 3, H, W, generator=torch.Generator().manual_seed(0))
    x[0] = 0.5  # without any colour
    x[1, :, :3] = 0.0
    x[2, 1] = x[2, 0]  # two channels are the largest
    return x


@pytest.fixture
def numbers():
    return torch.rand(N, generator=torch.Generator().manual_seed(1))


COLOURS = {
    "brightness": (functional.adjust_brightness, lambda u: 0.5 + u),
    "contrast": (functional.adjust_contrast, lambda u: 0.5 + u),
    "saturation": (functional.adjust_saturation, lambda u: 0.5 + u),
    "hue": (functional.adjust_hue, lambda u: u - 0.5),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", COLOURS)
def test_colours_are_torchvisions_sample_by_sample(images, numbers, name, channels):
    theirs, factor = COLOURS[name]
    x = images[:, :channels]
    found = getattr(augmentation, name)(x, factor(numbers))
    expected = [theirs(one, float(f)) for one, f in zip(x, factor(numbers), strict=True)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=2e-6)


def test_crops_are_torchvisions_sample_by_sample(images):
    top, left = (torch.randint(7, (N,), generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    fill = torch.tensor([0.1, 0.2, 0.3])
    found = augmentation.crop(images, 3, top, left, fill[None, :, None, None])
    for one, own, y, x in zip(images, found, top.tolist(), left.tolist(), strict=True):
        padded = functional.pad(one, [3, 3, 3, 3], fill=fill.tolist())
        assert torch.equal(own, functional.crop(padded, y, x, H, W))


def test_mirrors_are_torchvisions_sample_by_sample(images, numbers):
    chosen = numbers < 0.5
    for one, own, mirrored in zip(images, augmentation.flip(images, chosen), chosen, strict=True):
        assert torch.equal(own, functional.horizontal_flip(one) if mirrored else one)


@pytest.mark.parametrize("side", [1, 2, 3, 7])
def test_cutouts_are_torchvisions_erased_squares(images, side):
    generator = torch.Generator().manual_seed(2)
    row, column = (torch.randint(size, (N,), generator=generator) for size in (H, W))
    fill = torch.tensor([0.1, 0.2, 0.3])[None, :, None, None]
    found = augmentation.cutout(images, side, row, column, fill)
    for one, own, y, x in zip(images, found, row.tolist(), column.tolist(), strict=True):
        top, left = max(0, y - side // 2), max(0, x - side // 2)
        bottom, right = min(H, y - side // 2 + side), min(W, x - side // 2 + side)
        value = fill[0].expand(3, bottom - top, right - left)
        expected = functional.erase(one, top, left, bottom - top, right - left, value)
        assert torch.equal(own, expected)


def pixels(x):
    stored = (x * 255).round().to(torch.uint8)
    mean, std = torch.full((1, 3, 1, 1), 120.0), torch.full((1, 3, 1, 1), 60.0)
    return Pixels(stored, mean, std)


def change(x, settings, scale, seed=3):
    return augmented(x, settings, scale, torch.Generator().manual_seed(seed))


def test_every_sample_is_changed_in_its_own_way(images):
    """A batch of one image, many times, has many versions; every place and side occurs."""
    held = pixels(images[5:6].expand(400, -1, -1, -1))
    x, scale = held[:], Scale.of(held)
    before = x.clone()
    assert len(change(x, Augment(crop=2), scale).unique(dim=0)) == 25
    mirrored = (change(x, Augment(flip=True), scale) != x).flatten(1).any(dim=1)
    assert 150 < int(mirrored.sum()) < 250
    blank = (change(x, Augment(cutout=1), scale) != x).any(dim=1).any(dim=0)
    assert blank.all()
    bright = change(x, Augment(jitter=Jitter(brightness=0.2)), scale)
    assert len(bright.unique(dim=0)) == 400
    assert torch.equal(x, before)


def test_the_order_and_the_scale_are_those_of_the_documentation(images):
    """One sample, step by step, with torchvision's functions on pixels from 0 to 1."""
    held = pixels(images)
    settings = Augment(crop=1, flip=True, jitter=Jitter(brightness=0.5, hue=0.2), cutout=2)
    found = change(held[:], settings, Scale.of(held))
    generator = torch.Generator().manual_seed(3)
    top, left, mirror, factor, shift, row, column = (
        torch.rand(N, generator=generator) for _ in range(7)
    )
    for i in range(N):
        own = functional.pad(held.stored[i].float() / 255, [1, 1, 1, 1], fill=0)
        own = functional.crop(own, int(3 * top[i]), int(3 * left[i]), H, W)
        if mirror[i] < 0.5:
            own = functional.horizontal_flip(own)
        own = functional.adjust_brightness(own, float(1 + 0.5 * (2 * factor[i] - 1)))
        own = functional.adjust_hue(own, float(0.2 * (2 * shift[i] - 1)))
        y, x = int(H * row[i]) - 1, int(W * column[i]) - 1
        own[:, max(y, 0) : y + 2, max(x, 0) : x + 2] = 0.0
        own = (own * 255 - 120) / 60
        torch.testing.assert_close(found[i], own, rtol=0, atol=2e-5)


def test_where_pixels_are_not_known_the_darkest_value_is_black():
    x = torch.tensor([[[[-2.0, 1.0], [3.0, 4.0]]]])
    assert Scale.of(x).black.flatten().tolist() == [-2.0]
    held = Pixels(
        torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.ones(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
    )
    assert torch.equal(Scale.of(held).black, held[:][..., :1, :1])


# In a run


class Look(SupervisedPlugin):
    """Notes the batches, and the samples that a strategy would draw for importances."""

    def __init__(self):
        super().__init__()
        self.x, self.y, self.important, self.tested = [], [], [], []

    def after_update(self, strategy, *_, **__):
        self.x.append(strategy.mb_x.clone())
        self.y.append(strategy.mb_y.clone())

    def after_training_exp(self, strategy, *_, **__):
        samples = getattr(strategy.adapted_dataset, "samples", None)
        if samples is not None:
            self.important.append(samples[0][torch.arange(20)])

    def after_eval_iteration(self, strategy, *_, **__):
        self.tested.append(strategy.mb_x.clone())


def looked_at(run, root):
    look, ready = Look(), prepare(run, root)
    ready.strategy.plugins.append(look)
    for experience in ready.scenario.train:
        ready.strategy.train(experience, **TRAINING)
    return look


def equal(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("strategy", ["finetune", "wpl", "avalanche:Naive"])
def test_only_training_batches_are_changed(make_run, tmp_path, strategy):
    settings = {"arguments": {}} if ":" in strategy else {}
    plain = looked_at(make_run(strategy, settings), tmp_path)
    first, second = (
        looked_at(make_run(strategy, settings, augment=ON_GREY), tmp_path) for _ in range(2)
    )
    assert equal(first.x, second.x)
    assert not any(map(torch.equal, first.x, plain.x))
    assert equal(first.y, plain.y)  # the same samples in the same order
    assert equal(first.important, plain.important)
    assert equal(first.tested, plain.tested)
    other = looked_at(make_run(strategy, settings, augment=ON_GREY, seed=1), tmp_path)
    assert not any(map(torch.equal, first.x, other.x))


def test_what_strategies_draw_changes_no_batch(make_run, tmp_path):
    """Own generators: wpl and lwf see the batches of fine-tuning, and global numbers are left."""
    looks = [
        looked_at(make_run(name, augment=ON_GREY), tmp_path)
        for name in ("finetune", "wpl", "lwf", "rwalk")
    ]
    assert all(equal(looks[0].x, look.x) for look in looks)
    held = pixels(torch.rand(4, 3, H, W))
    before = torch.get_rng_state()
    change(held[:], Augment(**EVERYTHING), Scale.of(held))
    assert torch.equal(torch.get_rng_state(), before)


def test_importances_are_of_augmented_samples_if_asked(make_run, tmp_path):
    changes = ON_GREY | {"importance": "augmented"}
    plain = looked_at(make_run("wpl", augment=ON_GREY), tmp_path)
    first, second = (looked_at(make_run("wpl", augment=changes), tmp_path) for _ in range(2))
    assert equal(first.x[:8], plain.x[:8])
    assert equal(first.important, second.important)
    assert not any(map(torch.equal, first.important, plain.important))


@pytest.mark.parametrize("strategy", ["joint", "avalanche:JointTraining", "avalanche:Replay"])
def test_other_ways_to_train_are_augmented_too(make_run, tmp_path, strategy):
    settings = {"arguments": {"mem_size": 20} if "Replay" in strategy else {}}
    settings = settings if ":" in strategy else {}
    run, plain = (make_run(strategy, settings, **c) for c in ({"augment": ON_GREY}, {}))
    found, without = execute(run, tmp_path), execute(plain, tmp_path)
    assert found.error is None
    assert found.accuracy_matrix != without.accuracy_matrix
    assert run.key != plain.key


@pytest.mark.parametrize("strategy", ["finetune", "joint", "avalanche:JointTraining"])
def test_padding_is_black_in_each_data_set(tmp_path, strategy):
    """A joint training has samples of both, which are normalised differently."""
    for label in "0123456789":
        (tmp_path / "bright" / label).mkdir(parents=True)
        for number in range(5):
            shades = np.full((8, 8), 200 + 5 * int(label) + number, dtype=np.uint8)
            Image.fromarray(shades).save(tmp_path / "bright" / label / f"{number}.png")
    changes = {"second_data": f"folder:{tmp_path / 'bright'}", "augment": {"crop": 3}}
    changes |= {"samples": 40, "steps": 8, "width": 4}
    settings = {"arguments": {}} if ":" in strategy else {}
    ready = prepare(run_of(tmp_path, SCENARIO | changes, strategy, settings), tmp_path)
    a, b = (e.dataset.samples[0] for e in ready.scenario.train)
    black, other = (-x.mean / x.std for x in (b, a))
    seen = []

    class Second(SupervisedPlugin):
        def after_forward(self, strategy, *_, **__):
            labels = torch.as_tensor(strategy.mb_task_id).expand(len(strategy.mb_x))
            seen.append(strategy.mb_x[labels == 1])

    ready.strategy.plugins.append(Second())
    for experience in [ready.scenario.train] if strategy != "finetune" else ready.scenario.train:
        ready.strategy.train(experience, **TRAINING)
    x = torch.cat(seen)
    padded = x < black + 0.5 * (b[:].min() - black)  # no pixel of these images is nearly black
    assert 0.1 < padded.float().mean() < 0.5
    assert torch.allclose(x[padded], black.squeeze())
    assert not torch.isclose(x, other).any()


def test_turned_images_are_augmented_without_jitter(make_run, tmp_path):
    changes = {"second_data": "rotated", "rotation": 45.0}
    settings = {"crop": 1, "flip": True, "cutout": 2}
    assert execute(make_run(augment=settings, **changes), tmp_path).error is None


REFUSED = {
    "nothing": ({"augment": {}}, "augment changes nothing"),
    "nothing but zeros": ({"augment": {"jitter": {}}}, "augment changes nothing"),
    "too large": ({"augment": {"crop": 9}}, "inputs of 8 pixels: crop must be at most that"),
    "a hue of more than half": ({"augment": {"jitter": {"hue": 0.6}}}, "less than or equal to 0.5"),
    "colours that are not known": (
        {"augment": ON_GREY, "second_data": "rotated", "rotation": 45.0},
        "experience 2 has inputs whose colours are not known",
    ),
    "colours of grey images": (
        {"augment": EVERYTHING},
        "the images are grey, and saturation and hue of jitter would change nothing",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_a_sentence_before_anything_trains(tmp_path, capfd, case):
    changes, words = REFUSED[case]
    suite = {"suite": "t", "scenarios": {"it": SCENARIO | changes}, "strategies": {"finetune": {}}}
    refused(suite, tmp_path, capfd, words)


FLAT = """
from typing import Literal
import torch
from palimpsest.benchmark.scenarios.streams.parts import Part
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings

class Flat(ScenarioSettings):
    family: Literal["flat"] = "flat"
    steps: int | None = 3

    def build(self, seed, root, device):
        from palimpsest.benchmark.models.bank import ModelBank
        bank = ModelBank({"a": torch.nn.Linear(4, 2)}, [("a",)], 2)
        x, y = torch.randn(30, 4), torch.arange(30) % 2
        return self.assemble(bank, [Part((x, y), (x, y), (x, y))], [0])

SCENARIOS = [Flat]
"""


def test_what_is_no_image_is_refused(tmp_path, capfd, registries):
    plugin = tmp_path / "flat.py"
    plugin.write_text(FLAT)
    suite = {
        "suite": "t",
        "scenarios": {"flat": {"augment": {"flip": True}}},
        "strategies": {"finetune": {}},
    }
    with registries():
        words = "inputs of shape (4,); expected images (channels, height, width)"
        refused(suite, tmp_path, capfd, words, "--plugin", str(plugin))


def refused(suite, folder, capfd, words, *more):
    path, store = folder / "suite.yaml", folder / "runs.db"
    path.write_text(yaml.safe_dump(copy.deepcopy(suite)))
    with pytest.raises(SystemExit) as end:
        main(["run", str(path), "--store", str(store), "--data-root", str(folder), *more])
    told = " ".join(capfd.readouterr().err.split())
    assert end.value.code == 2, told
    assert words in told
    assert "Traceback" not in told
    assert not store.exists()
