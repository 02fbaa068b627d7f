"""Makes a supernet from its settings."""

from __future__ import annotations

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.search.supernets.convolutional import ConvolutionalSupernet
from palimpsest.benchmark.search.supernets.micro import MicroSupernet
from palimpsest.benchmark.search.supernets.recurrent import RecurrentSupernet
from palimpsest.benchmark.search.supernets.settings import MicroCell, RecurrentCell, SupernetChoice
from palimpsest.benchmark.search.supernets.supernet import Supernet


def make(
    choice: SupernetChoice, input_shape: tuple[int, int, int] | None, n_classes: int
) -> Supernet:
    """Return a supernet, initialised from torch's generator; text has no ``input_shape``.

    Raises:
        UserError: It is not for such data.
    """
    if isinstance(choice, RecurrentCell) != (input_shape is None):
        wanted, given = ("text", "images") if input_shape else ("images", "text")
        raise UserError(f"supernet {choice.name} is for {wanted}, but the data are {given}")
    if isinstance(choice, RecurrentCell):
        return RecurrentSupernet(choice, n_classes)
    assert input_shape is not None
    if isinstance(choice, MicroCell):
        return MicroSupernet(choice, input_shape, n_classes)
    return ConvolutionalSupernet(choice, input_shape, n_classes)
