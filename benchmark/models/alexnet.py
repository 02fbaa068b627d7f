"""The network of HAT and SPG: like AlexNet, for small images, without normalisation."""

from __future__ import annotations

from torch import Tensor, nn


class AlexNetLike(nn.Module):
    """Three convolutions (64, 128, 256 channels) with pooling, two wide layers, and a head.

    The first two have kernels of an eighth and a tenth of the image's height, the third of 2;
    no padding, stride 1. Dropout follows each activation. Sources: Serra et al., Overcoming
    catastrophic forgetting with hard attention to the task, ICML 2018; Konishi et al.,
    Parameter-level soft-masking for continual learning, ICML 2023.

    Args:
        input_shape: Channels, height and width of the images, which are square.
        n_classes: Outputs.
        width: Units of the two wide layers.
        dropout: After the first two convolutions, and after the other layers.

    Raises:
        ValueError: Nothing is left of the images after the third convolution, or an argument is of
            another kind.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        n_classes: int,
        width: int = 2048,
        dropout: tuple[float, float] = (0.2, 0.5),
    ) -> None:
        super().__init__()
        channels, height, columns = input_shape
        pair = isinstance(dropout, list | tuple) and len(dropout) == 2
        if not pair or not all(isinstance(rate, int | float) and 0 <= rate < 1 for rate in dropout):
            raise ValueError(f"dropout is {dropout!r}; expected two shares below 1, as [0.2, 0.5]")
        if type(width) is not int or width < 1:
            raise ValueError(f"width is {width!r}; expected a whole number, 1 or more")
        first, later = dropout
        blocks: list[nn.Module] = []
        sizes = [height, columns]
        parts = ((64, height // 8, first), (128, height // 10, first), (256, 2, later))
        for out, kernel, rate in parts:
            sizes = [(size - kernel + 1) // 2 for size in sizes]
            if kernel < 1 or min(sizes) < 1:
                raise ValueError(f"images of {height}x{columns} pixels are too small for it")
            blocks.append(
                nn.Sequential(
                    nn.Conv2d(channels, out, kernel), nn.ReLU(), nn.Dropout(rate), nn.MaxPool2d(2)
                )
            )
            channels = out
        self.conv1, self.conv2, self.conv3 = blocks
        size = channels * sizes[0] * sizes[1]
        self.wide1 = nn.Sequential(
            nn.Flatten(), nn.Linear(size, width), nn.ReLU(), nn.Dropout(later)
        )
        self.wide2 = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(later))
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes) of images (N, C, H, W)."""
        x = self.wide2(self.wide1(self.conv3(self.conv2(self.conv1(x)))))
        logits: Tensor = self.head(x)
        return logits
