"""Data sets of torchvision with the interface of its MNIST and CIFAR, where theirs differs.

Each takes ``root``, ``train`` and ``download``, and has ``data``, ``targets`` and ``classes``.
"""

from __future__ import annotations

from pathlib import Path

from torchvision import datasets
from torchvision.datasets.utils import download_url

_PARTS = ("train", "test")


class EMNIST(datasets.EMNIST):  # torchvision takes the name of the folder from that of the class
    """A split of EMNIST, its classes counted from 0.

    The images are as the files have them, which is transposed.

    Args:
        root: The folder that holds ``EMNIST/raw``.
        split: ``balanced``, ``byclass``, ``bymerge``, ``letters`` or ``digits``.
        train: Whether to read the training set or the test set.
        download: Download what is missing.
    """

    def __init__(
        self, root: Path, split: str, *, train: bool = True, download: bool = False
    ) -> None:
        super().__init__(root, split, train=train, download=download)
        if split == "letters":  # counted from 1 in the files, and in torchvision
            self.classes: list[str] = self.classes[1:]
            self.targets -= 1

    def _check_exists(self) -> bool:
        folder, start = Path(self.raw_folder), f"emnist-{self.split}"
        return all(
            (folder / f"{start}-{part}-{content}-ubyte").is_file()
            for part in _PARTS
            for content in ("images-idx3", "labels-idx1")
        )


class SVHN(datasets.SVHN):
    """The cropped house numbers, without the extra training images."""

    classes = tuple("0123456789")

    def __init__(self, root: Path, *, train: bool = True, download: bool = False) -> None:
        super().__init__(root, _PARTS[not train], download=download)
        self.targets = self.labels

    def download(self) -> None:
        """Download both parts."""
        for part in _PARTS:
            url, file, md5 = self.split_list[part]
            download_url(url, self.root, file, md5)


class STL10(datasets.STL10):
    """The labelled images, without the file of unlabelled ones, which need not be there."""

    train_list = datasets.STL10.train_list[:2]
    classes: list[str]

    def __init__(self, root: Path, *, train: bool = True, download: bool = False) -> None:
        super().__init__(root, _PARTS[not train], download=download)
        self.targets = self.labels
