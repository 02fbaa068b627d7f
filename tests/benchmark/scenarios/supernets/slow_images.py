"""Operations on feature maps, one sample and one pixel at a time: lists of arrays (C, H, W)."""

import numpy as np


def convolution(maps, weight, stride=1, groups=1):
    """Weights (O, C / groups, K, K), zeros around the image."""
    return [_convolved(x, weight, stride, groups) for x in maps]


def _convolved(x, weight, stride, groups):
    outs, _, size, _ = weight.shape
    channels, height, width = x.shape
    per_in, per_out = channels // groups, outs // groups
    rows, columns = range(0, height, stride), range(0, width, stride)
    found = np.zeros((outs, len(rows), len(columns)))
    for out in range(outs):
        own = slice(out // per_out * per_in, (out // per_out + 1) * per_in)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                for (r, c), inside in _window(row, column, size, height, width):
                    if inside:
                        at = (r - row + size // 2, c - column + size // 2)
                        found[out, i, j] += weight[out, :, *at] @ x[own, r, c]
    return found


def _window(row, column, size, height, width):
    reach = size // 2
    for r in range(row - reach, row + reach + 1):
        for c in range(column - reach, column + reach + 1):
            yield (r, c), 0 <= r < height and 0 <= c < width


def pooled(maps, kind, stride=1, padding_counts=False):
    """The mean or the largest of 3x3 pixels."""
    return [_pooled(x, kind, stride, padding_counts) for x in maps]


def _pooled(x, kind, stride, padding_counts):
    _, height, width = x.shape
    rows, columns = range(0, height, stride), range(0, width, stride)
    found = np.zeros((len(x), len(rows), len(columns)))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            inside = [
                x[:, r, c] for (r, c), is_in in _window(row, column, 3, height, width) if is_in
            ]
            if kind == "max":
                found[:, i, j] = np.max(inside, axis=0)
            else:
                found[:, i, j] = np.sum(inside, axis=0) / (9 if padding_counts else len(inside))
    return found


def batch_normalised(maps, weight, bias):
    """Each channel by its mean and variance over all samples and pixels."""
    found = [np.empty_like(x) for x in maps]
    for channel in range(len(maps[0])):
        values = [pixel for x in maps for pixel in x[channel].flatten()]
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        for x, into in zip(maps, found, strict=True):
            scaled = (x[channel] - mean) / np.sqrt(variance + 1e-5)
            into[channel] = scaled * weight[channel] + bias[channel]
    return found


def layer_normalised(maps, weight, bias):
    """Each sample by its mean and variance over all channels and pixels."""
    found = []
    for x in maps:
        scaled = (x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean() + 1e-5)
        found.append(scaled * weight[:, None, None] + bias[:, None, None])
    return found


def as_is(maps, weight, bias):
    """Nothing."""
    return maps


NORMALISE = {"batch": batch_normalised, "layer": layer_normalised, "none": as_is}


def rectified(maps):
    return [np.maximum(x, 0) for x in maps]
