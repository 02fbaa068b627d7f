"""The settings of augmentation: random changes of the images that models train on."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from palimpsest.benchmark.settings.values import CountFromZero, Settings

Range = Annotated[float, Field(ge=0, le=1)]


class Jitter(Settings):
    """Changes of the colours, in this order, as torchvision computes them."""

    brightness: Range = Field(0.0, description="b: pixels times a factor from [1 - b, 1 + b].")
    contrast: Range = Field(
        0.0, description="c: distance from the image's mean grey, times one from [1 - c, 1 + c]."
    )
    saturation: Range = Field(
        0.0, description="s: distance from the pixel's own grey, times one from [1 - s, 1 + s]."
    )
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="h: the hue is turned by a share of the circle from [-h, h]."
    )


class Augment(Settings):
    """Random changes of each training image, drawn anew each time that it is trained on."""

    crop: CountFromZero = Field(
        0, description="Pixels of padding on each side, of which a part of the old size is taken."
    )
    flip: bool = Field(False, description="Mirror half of the images, left to right.")
    jitter: Jitter | None = Field(None, description="Change the colours; null: no change.")
    cutout: CountFromZero = Field(
        0, description="Side of a square that is blanked out, in pixels; its centre is anywhere."
    )
    importance: Literal["plain", "augmented"] = Field(
        "plain", description="The samples that importances are estimated from after a training."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not (self.crop or self.flip or self.cutout or self.jitter not in {None, Jitter()}):
            raise ValueError("augment changes nothing: give crop, flip, jitter or cutout, or null")
        return self
