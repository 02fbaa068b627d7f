"""The layout in which Tiny ImageNet is distributed, in a folder or a zip file."""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pytest

from palimpsest.benchmark.data import catalog
from palimpsest.benchmark.data.formats import folder
from palimpsest.benchmark.errors import UserError

CLASSES = ("n01443537", "n01629819", "n01641577")


@pytest.fixture
def tiny(tmp_path, write_image):
    """``tiny-imagenet-200`` with three classes, and the pixels of its val images by name."""
    root = tmp_path / "tiny-imagenet-200"
    for label, name in enumerate(CLASSES):
        for index in range(2):
            seed = 10 * label + index
            write_image(root / "train" / name / "images" / f"{name}_{index}.png", seed)
        (root / "train" / name / f"{name}_boxes.txt").write_text(f"{name}_0.JPEG\t0\t0\t3\t3\n")
        write_image(root / "test" / "images" / f"test_{label}.png", 200 + label)
    order = (2, 0, 1, 2)
    pixels = [write_image(root / f"val/images/val_{i}.png", 100 + i) for i in range(len(order))]
    lines = [f"val_{i}.png\t{CLASSES[label]}\t0\t32\t44\t62\n" for i, label in enumerate(order)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("\n".join(CLASSES))
    (root / "words.txt").write_text("n01443537\tgoldfish\n")
    return root, dict(zip(range(len(order)), zip(order, pixels, strict=True), strict=True))


@pytest.mark.parametrize("as_zip", [False, True])
def test_val_is_tested_on_with_the_classes_of_its_annotations(tiny, zip_of, as_zip):
    root, val = tiny
    raw = folder.read(zip_of(root, "tiny-imagenet-200/") if as_zip else root)
    assert raw.classes == CLASSES
    assert raw.train_y.tolist() == [0, 0, 1, 1, 2, 2]
    assert raw.test_y.tolist() == [label for label, _ in val.values()]
    expected = np.stack([pixels for _, pixels in val.values()]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(raw.test_x.numpy(), expected)
    assert len(raw.train_x) == 6  # and none of test, which has no labels


def test_another_class_in_the_annotations_is_another_data_set(tiny, tmp_path):
    root, _ = tiny
    before = catalog.fingerprint(f"folder:{root}", tmp_path)
    assert catalog.outline(f"folder:{root}", tmp_path).n_classes == 3
    text = root / "val" / "val_annotations.txt"
    text.write_text(
        text.read_text().replace(f"val_3.png\t{CLASSES[2]}", f"val_3.png\t{CLASSES[0]}")
    )
    assert catalog.fingerprint(f"folder:{root}", tmp_path) != before


def test_mistakes_in_the_annotations_are_told_with_file_and_line(tiny):
    root, _ = tiny
    text = root / "val" / "val_annotations.txt"
    whole = text.read_text()
    text.write_text(whole.replace(f"val_1.png\t{CLASSES[0]}", "val_1.png\t"))
    with pytest.raises(
        UserError, match=r"val/val_annotations.txt in .*, line 2: expected the name"
    ):
        folder.read(root)
    text.write_text(whole.split("\n", 1)[1])
    with pytest.raises(UserError, match=r"val/images/val_0.png in .* has no class in val_annot"):
        folder.read(root)
    text.write_text(whole.replace(CLASSES[0], "n09999999"))
    with pytest.raises(UserError, match=r"class 'n\d+' of .* has images in"):
        folder.read(root)
    text.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match=r"val_annotations.txt in .* cannot be read"):
        folder.read(root)


def test_without_annotations_the_layout_is_an_ordinary_one(tiny):
    root, _ = tiny
    (root / "val" / "val_annotations.txt").unlink()
    shutil.rmtree(root / "test")
    raw = folder.read(root)
    assert raw.classes == ("train", "val")


def test_damaged_annotations_in_a_zip_are_told(tiny, tmp_path):
    root, _ = tiny
    path = tmp_path / "tiny.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in root.rglob("*.*"):
            archive.write(file, file.relative_to(root).as_posix())
        member = archive.getinfo("val/val_annotations.txt")
    content = bytearray(path.read_bytes())
    begin = member.header_offset + 30 + len(member.filename)
    content[begin : begin + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"val_annotations\.txt in .* cannot be read"):
        folder.read(path)
