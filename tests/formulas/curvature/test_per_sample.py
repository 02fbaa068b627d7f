"""Networks whose batches are not what their shapes say: right, or refused by the layer's name."""

import copy

import pytest
import torch
from programs import CLASSES, slow_fisher
from references import slow_sensitivity
from single_samples import SAMPLES, Apply, tokens, vectors
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from palimpsest.strategies.curvature import sensitivity
from palimpsest.strategies.curvature.fisher import diagonal_fisher
from palimpsest.strategies.curvature.gauss_newton import GaussNewtonRoot
from palimpsest.strategies.curvature.per_sample import sums as per_sample
from palimpsest.strategies.curvature.sensitivity import output_sensitivity


def body_and_head(forward, features=4, **modules):
    modules = {"body": nn.Linear(5, 4), "head": nn.Linear(features, CLASSES), **modules}
    return Apply(forward, **modules)


def only_real_tokens():
    """A layer that sees the tokens that are not zero."""

    def forward(m, x):
        real = x.abs().sum(dim=-1) > 0
        outputs = x.new_zeros(*x.shape[:-1], 4)
        outputs[real] = m.body(x[real])
        return m.head(outputs.tanh().sum(dim=1))

    return body_and_head(forward)


def real_tokens(*counts):
    x = vectors(3, 5)
    for sample, count in zip(x, counts, strict=True):
        sample[count:] = 0
    return x


def sorted_inside(m, x):
    order = x[:, 0].argsort()
    return m.head(m.body(x[order]).tanh()[order.argsort()])


def two_views(m, x):
    one, other = m.body(torch.cat([x, -x.flip(1)])).tanh().chunk(2)
    return m.head(one * other)


def experts():
    """The expert of the best score, which may get no sample, one, or as many as there are."""

    def forward(m, x):
        scores = m.body(x)
        chosen, outputs = scores.argmax(dim=1), x.new_zeros(len(x), 4)
        for i, expert in enumerate(m.experts):
            own = chosen == i
            if own.any():
                outputs[own] = expert(x[own]) * scores[own, i, None]
        return m.head(outputs.tanh())

    return body_and_head(forward, experts=nn.ModuleList(nn.Linear(5, 4) for _ in range(4)))


def batch_norm_over_steps():
    norm = nn.BatchNorm1d(4)
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    return body_and_head(
        lambda m, x: m.head(m.norm(m.body(x).permute(1, 2, 0)).permute(2, 0, 1).tanh().mean(1)),
        norm=norm,
    )


def checkpointed(reentrant):
    return body_and_head(
        lambda m, x: m.head(checkpoint(m.block, m.body(x), use_reentrant=reentrant)),
        block=nn.Sequential(nn.Linear(4, 4), nn.Softmax(dim=1)),
    )


def channels_last(m, x):
    x = x.contiguous(memory_format=torch.channels_last)
    return m.head(m.norm(m.body(x)).to(memory_format=torch.channels_last).flatten(1))


def own_forward():
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, CLASSES))
    layer = model[0]
    layer.forward = lambda x: functional.linear(x, layer.weight.abs(), layer.bias)
    return model


def tied(**settings):
    model = Apply(
        lambda m, x: m.decoder(m.embedding(x).mean(dim=1).tanh()),
        embedding=nn.Embedding(9, 4, **settings),
        decoder=nn.Linear(4, 9),
    )
    model.decoder.weight = model.embedding.weight
    return model


def shared_layer():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(5, CLASSES))


def words(layer):
    return Apply(lambda m, x: m.head(m.words(x)), words=layer, head=nn.Linear(4, CLASSES))


def longest(m, x):
    """Cuts off what no sample of the batch has."""
    real = (x.abs().sum(dim=-1) > 0).to(x.dtype)
    length = int(real.sum(dim=1).max())
    return m.head((m.body(x[:, :length]) * real[:, :length, None]).sum(dim=1))


# name -> (network, inputs, whether all samples go at once)
RIGHT = {
    "first_sample_has_one_token": (only_real_tokens, lambda: real_tokens(1, 2, 3, 3, 2, 3, 3), 0),
    "last_sample_has_one_token": (only_real_tokens, lambda: real_tokens(3, 3, 2, 3, 3, 2, 1), 0),
    "as_many_tokens_as_samples": (only_real_tokens, lambda: real_tokens(3, 2, 0, 1, 1, 0, 0), 0),
    "sorted_inside": (lambda: body_and_head(sorted_inside), lambda: vectors(5), 1),
    "two_views": (lambda: body_and_head(two_views), lambda: vectors(5), 1),
    "rolled_and_back": (
        lambda: body_and_head(lambda m, x: m.head(m.body(x.roll(1, 0)).roll(-1, 0).tanh())),
        lambda: vectors(5),
        1,
    ),
    "experts": (experts, lambda: vectors(5), 0),
    "batch_norm_over_steps": (batch_norm_over_steps, lambda: vectors(3, 5), 1),
    "checkpoint": (lambda: checkpointed(False), lambda: vectors(5), 0),
    "checkpoint_reentrant": (lambda: checkpointed(True), lambda: vectors(5), 0),
    "channels_last_inside": (
        lambda: body_and_head(
            channels_last, 48, body=nn.Conv2d(2, 3, 3), norm=nn.BatchNorm2d(3).eval()
        ),
        lambda: vectors(2, 6, 6),
        1,
    ),
    "own_forward": (own_forward, lambda: vectors(5), 1),
    "longest_in_the_batch": (
        lambda: body_and_head(longest),
        lambda: real_tokens(1, 2, 2, 2, 1, 2, 2),
        0,
    ),
    "sparse_tied": (lambda: tied(sparse=True), tokens, 1),
    "rescaled_tied": (lambda: tied(max_norm=1.0), tokens, 1),
    "sparse_bag": (
        lambda: words(nn.EmbeddingBag(9, 4, sparse=True, max_norm=1.0)),
        tokens,
        1,
    ),
    "a_layer_of_two_names": (shared_layer, lambda: vectors(5), 1),
    "instance_norm": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3, bias=False),
            nn.InstanceNorm2d(3, affine=True),
            nn.Flatten(),
            nn.Linear(48, CLASSES),
        ),
        lambda: vectors(2, 6, 6),
        1,
    ),
}

NO_SAMPLE_BY_ITSELF = {
    "without_running_statistics": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3),
            nn.BatchNorm2d(3, track_running_stats=False),
            nn.Flatten(),
            nn.Linear(48, CLASSES),
        ),
        lambda: vectors(2, 6, 6),
        r"layer '1' \(BatchNorm2d\) mixes samples",
    ),
    "vectors_without_running_statistics": (
        lambda: nn.Sequential(
            nn.Linear(5, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, CLASSES)
        ),
        lambda: vectors(5),
        r"not a single sample: layer '1' \(BatchNorm1d\) raises 'Expected more than 1 value",
    ),
    "centred": (
        lambda: body_and_head(lambda m, x: m.head(m.body(x - x.mean(dim=0)).tanh())),
        lambda: vectors(5),
        r"what computes the input of layer 'body' \(Linear\) mixes samples",
    ),
    "attention_over_samples": (
        lambda: body_and_head(
            lambda m, x: m.head(m.attention(m.body(x), m.body(x), m.body(x))[0]),
            attention=nn.MultiheadAttention(4, 2),
        ),
        lambda: vectors(5),
        r"layer 'attention' \(MultiheadAttention\) mixes samples",
    ),
    "random": (
        lambda: body_and_head(lambda m, x: m.head(functional.dropout(m.body(x), training=True))),
        lambda: vectors(5),
        r"input of layer 'head' \(Linear\) draws random numbers",
    ),
    "squeezed": (
        lambda: body_and_head(lambda m, x: m.head(m.body(x).squeeze())),
        lambda: vectors(5),
        r"logits have the shape \(4,\); expected \(1, classes\)",
    ),
}


def prepared(make, inputs):
    torch.manual_seed(0)
    model, x = make().double(), inputs()
    x = x.double() if x.is_floating_point() else x
    model(x)  # rescales the rows that are looked up, where a table has a ``max_norm``
    return model, x, dict(model.named_parameters())


@pytest.fixture
def turns(monkeypatch):
    """How many batches went through sample by sample."""
    found, function = [], per_sample._in_turn

    def spy(*arguments):
        found.append(1)
        return function(*arguments)

    monkeypatch.setattr(per_sample, "_in_turn", spy)
    return found


def loop(model, x):
    """The exact Fisher information and the sensitivity, by accumulated gradients."""
    model = copy.deepcopy(model).eval() if "forward" not in vars(next(model.children())) else model
    squares = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    absolute = {name: torch.zeros_like(p) for name, p in model.named_parameters()}

    def add(loss, totals, weight, function):
        model.zero_grad()
        loss.backward(retain_graph=True)
        for name, p in model.named_parameters():
            if p.grad is not None:
                totals[name] += weight * function(p.grad.to_dense()) / len(x)

    for n in range(len(x)):
        logits = model(x[n : n + 1])[0]
        for log_p in logits.log_softmax(dim=0):
            add(log_p, squares, log_p.exp().item(), torch.square)
        add(logits.square().sum(), absolute, 1, torch.abs)
    model.zero_grad()
    return squares, absolute


@pytest.mark.parametrize("name", RIGHT)
def test_equals_one_backward_pass_a_sample(name, turns):
    make, inputs, at_once = RIGHT[name]
    model, x, parameters = prepared(make, inputs)
    before = copy.deepcopy(model.state_dict())
    found = (
        diagonal_fisher(model, parameters, x, torch.zeros(SAMPLES)),
        output_sensitivity(model, parameters, x),
    )
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in parameters.values())
    now = dict(model.named_parameters())
    assert all(now[key] is p for key, p in parameters.items())
    for ours, expected in zip(found, loop(model, x), strict=True):
        for key, value in expected.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-8, atol=1e-12, msg=key)
    assert len(turns) == (0 if at_once else 2)


@pytest.mark.parametrize("name", NO_SAMPLE_BY_ITSELF)
def test_what_has_no_gradients_of_single_samples_is_refused(name):
    make, inputs, message = NO_SAMPLE_BY_ITSELF[name]
    model, x, parameters = prepared(make, inputs)
    model.train()
    state = {key: value.detach() for key, value in model.state_dict().items()}
    for estimate in (
        lambda: diagonal_fisher(model, parameters, x, torch.zeros(SAMPLES)),
        lambda: output_sensitivity(model, parameters, x),
        lambda: GaussNewtonRoot(model, state, list(parameters), [(0, x)]),
    ):
        with pytest.raises(ValueError, match=message):
            estimate()
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_choice_that_rounding_makes_is_no_mixing(turns):
    """Logits that are others in a batch, but not in double precision."""
    model, x, parameters = prepared(lambda: nn.Linear(5, CLASSES), lambda: vectors(5))
    model, x = model.float(), x.float()
    model.register_forward_hook(
        lambda _, inputs, output: (
            output * (1.1 if len(inputs[0]) == SAMPLES else 1.0)
            if output.dtype == torch.float32
            else output
        )
    )
    found = diagonal_fisher(model, parameters, x, torch.zeros(SAMPLES))
    expected = slow_fisher(model, parameters, x, torch.zeros(SAMPLES))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-6)
    assert turns


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_single(dtype):
    model, x, parameters = prepared(lambda: nn.Linear(5, CLASSES), lambda: vectors(5))
    exact = diagonal_fisher(model, parameters, x.repeat(300, 1), torch.zeros(300 * SAMPLES))
    model = model.to(dtype)
    y = torch.zeros(300 * SAMPLES)
    found = diagonal_fisher(model, dict(model.named_parameters()), x.to(dtype).repeat(300, 1), y)
    for key, value in found.items():
        assert value.dtype == dtype
        torch.testing.assert_close(value.double(), exact[key], rtol=0.05, atol=1e-3)


def test_a_wrong_closed_form_is_found_out(monkeypatch, turns):
    model, x, parameters = prepared(
        lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, CLASSES)),
        lambda: vectors(5),
    )
    expected = slow_sensitivity(model, list(parameters), x)
    monkeypatch.setattr(sensitivity, "_absolute_products", lambda g, a: g[:, 0].T @ a[:, 0])
    for key, value in output_sensitivity(model, parameters, x).items():
        torch.testing.assert_close(value, expected[key])
    assert turns


def test_embeddings_by_frequency_have_no_full_fisher_information():
    model, x, parameters = prepared(
        lambda: words(nn.Sequential(nn.Embedding(9, 4, scale_grad_by_freq=True), Mean())), tokens
    )
    state = {key: value.detach() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="scale_grad_by_freq"):
        GaussNewtonRoot(model, state, list(parameters), [(0, x)])


class Mean(nn.Module):
    """The mean over steps."""

    def forward(self, x):
        return x.mean(dim=1)
