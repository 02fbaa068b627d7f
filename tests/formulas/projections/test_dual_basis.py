"""DualGPM: the same subspace as a plain loop without a dual, and what must hold for any."""

import pytest
import torch

from palimpsest.strategies.projections.dual_basis import DualBasis

WIDTH = 12


def inputs(models, seed=0, width=WIDTH, vectors=30):
    """What several models feed a layer, (vectors, width): some directions much, others little."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {"generator": generator, "dtype": torch.float64}
    sizes = 0.7 ** torch.arange(width, dtype=torch.float64)
    return [
        torch.randn(vectors, width, **drawn)
        * sizes
        @ torch.linalg.qr(torch.randn(width, width, **drawn))[0]
        for _ in range(models)
    ]


def covariances(models, **more):
    return [h.T @ h for h in inputs(models, **more)]


def nothing(width=WIDTH):
    return DualBasis.of_nothing(width, torch.zeros(1, dtype=torch.float64))


def slow_growth(m, covariance, energy):
    """M with one direction more after another, until it has the energy; there is no dual."""
    total = (covariance**2).sum()
    rest = covariance - m @ m.T @ covariance
    u, s, _ = torch.linalg.svd(rest)
    share = 1 - (rest**2).sum() / total
    for direction, value in zip(u.T, s, strict=True):
        if share >= energy - 1e-12:
            break
        m = torch.cat([m, direction[:, None]], dim=1)
        share = share + value**2 / total
    return m


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.999])
def test_it_grows_as_a_plain_loop_does(energy):
    basis, m = nothing(), torch.zeros(WIDTH, 0, dtype=torch.float64)
    for covariance in covariances(5):
        basis, m = basis.grown(covariance, energy), slow_growth(m, covariance, energy)
        assert basis.dimension == m.shape[1]
        kept, free = basis.kept(), basis.free()
        torch.testing.assert_close(kept @ kept.T, m @ m.T)
        torch.testing.assert_close(free @ free.T, torch.eye(WIDTH).double() - m @ m.T)
    assert energy < 0.9 or basis.spans == "free"  # both states have been seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_orthonormal_only_grows_and_needs_half_a_square(dtype):
    close = {"rtol": 0, "atol": 1e-6 if dtype == torch.float32 else 1e-12}
    basis = nothing(40).to(dtype)
    for covariance in covariances(60, width=40):
        before, basis = basis.kept(), basis.grown(covariance, 0.6).to(dtype)
        columns, kept = basis.columns, basis.kept()
        assert columns.shape[1] <= 20
        assert columns.dtype == dtype
        torch.testing.assert_close(
            columns.T @ columns, torch.eye(columns.shape[1]).to(dtype), **close
        )
        torch.testing.assert_close(kept @ (kept.T @ before), before, **close)
    assert 20 < basis.dimension <= 40
    assert basis.spans == "free"


def test_a_first_model_that_needs_more_than_half_is_kept_itself_not_its_complement():
    (covariance,) = covariances(1, width=6)
    basis = nothing(6).grown(covariance, 0.99999)
    assert basis.spans == "free"
    assert basis.dimension > 3
    kept = basis.kept()
    share = ((kept.T @ covariance) ** 2).sum() / (covariance**2).sum()
    assert share >= 0.99999


@pytest.mark.parametrize(("energy", "count"), [(0.95, 15), (0.98, 19), (0.99, 22)])
def test_energy_is_that_of_squares_of_the_covariance(energy, count):
    spectrum = 0.9 ** torch.arange(100, dtype=torch.float64)  # 0.81^count <= 1 - energy
    assert nothing(100).grown(torch.diag(spectrum), energy).dimension == count


def test_no_energy_keeps_nothing_and_all_of_it_what_there_is():
    h = inputs(1)[0]
    h[:, 5:] = 0
    assert nothing().grown(h.T @ h, 0.0).dimension == 0
    whole = nothing().grown(h.T @ h, 1.0)
    assert whole.dimension == 5
    torch.testing.assert_close(whole.kept()[5:], torch.zeros(7, 5).double())
    full = whole.grown(covariances(1)[0], 1.0)
    assert full.dimension == WIDTH
    assert full.directions(h.T @ h)[0].shape == (0,)
    assert full.grown(h.T @ h, 1.0).dimension == WIDTH
    zero = torch.zeros(WIDTH, WIDTH).double()
    assert nothing().grown(zero, 1.0).dimension == 0
    assert not nothing().directions(zero)[0].any()


@pytest.mark.parametrize("energy", [0.5, 0.999], ids=["kept", "free"])
def test_directions_are_singular_vectors_of_inputs_without_their_kept_part(energy):
    first, second = inputs(2)
    basis = nothing().grown(first.T @ first, energy)
    kept = basis.kept()
    u, s, _ = torch.linalg.svd((second - second @ kept @ kept.T).T)
    values, directions = basis.directions(second.T @ second)
    count = WIDTH - basis.dimension
    torch.testing.assert_close(values, s[:count] ** 2)
    torch.testing.assert_close((u[:, :count].T @ directions).abs(), torch.eye(count).double())
    assert (kept.T @ directions).abs().max() < 1e-12


def test_what_was_kept_has_no_part_in_later_directions():
    first, second = inputs(2)
    first[:, 3:], second[:, 9:] = 0, 0
    values, directions = nothing().grown(first.T @ first, 1.0).directions(second.T @ second)
    assert (values > 0).sum() == 6
    torch.testing.assert_close(directions[:3], torch.zeros(3, 9).double())
    torch.testing.assert_close(directions[9:, :6], torch.zeros(3, 6).double())
