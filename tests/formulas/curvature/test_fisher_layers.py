"""Every kind of layer against the plain loop, by closed forms where there are, else without."""

import pytest
import torch
from programs import CLASSES, slow_fisher
from single_samples import ESTIMATORS, SAMPLES, Apply, drawn_labels, generator, tokens, vectors
from torch import nn
from torch.nn import functional
from torch.nn.utils import rnn as packing

from palimpsest.strategies.curvature.fisher import diagonal_fisher
from palimpsest.strategies.curvature.per_sample import gradients as per_sample_gradients
from palimpsest.strategies.curvature.per_sample import sums as per_sample
from palimpsest.strategies.curvature.per_sample.layers import LAYERS

pytestmark = pytest.mark.filterwarnings(
    "ignore:There is a performance drop because", "ignore:Using padding='same'"
)

HIDDEN = 6


def headed(body, size):
    """A network of a body and a head on all that it returns, flattened."""
    return Apply(
        lambda m, x: m.head(m.body(x).flatten(1).tanh()), body=body, head=nn.Linear(size, CLASSES)
    )


def uneven(layer):
    """Fill running statistics and scales with something uneven."""
    for name, value in layer.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.5, 2) if "var" in name else value.uniform_(-1, 1)
    return layer


def recurrent(kind, batch_first=False, read=lambda output, last: output, **settings):
    """A recurrent layer on samples (N, T, I) and a head on all steps, or what ``read`` takes."""

    def forward(m, x):
        output, last = m.rnn(x if batch_first else x.transpose(0, 1))
        output = output if batch_first else output.transpose(0, 1)
        return m.head(read(output, last).flatten(1))

    layer = kind(3, HIDDEN, batch_first=batch_first, **settings)
    return Apply(forward, rnn=layer, head=nn.LazyLinear(CLASSES))


def encoder_and_decoder():
    return Apply(
        lambda m, x: m.head(
            m.decoder(m.embedding(x), m.encoder(m.embedding(x).flip(1))[1])[0][:, 1]
        ),
        embedding=nn.Embedding(9, 3).requires_grad_(False),
        encoder=nn.LSTM(3, HIDDEN, batch_first=True),
        decoder=nn.LSTM(3, HIDDEN, batch_first=True),
        head=nn.Linear(HIDDEN, CLASSES),
    )


def attentive(forward, **settings):
    """A network of self-attention on samples (N, T, 4) and a head on all positions."""
    settings = {"batch_first": True, **settings}
    return Apply(
        lambda m, x: m.head(forward(m, x).flatten(1).tanh()),
        attention=nn.MultiheadAttention(4, 2, **settings),
        head=nn.LazyLinear(CLASSES),
    )


ATTENTION = {f"attention.{n}" for n in ("in_proj_weight", "in_proj_bias")} | {
    f"attention.out_proj.{n}" for n in ("weight", "bias")
}


def images(channels=2, *size):
    return vectors(channels, *(size or (7, 6)))


RNNS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

# name -> (network, inputs); all parameters by closed forms
CLOSED = {
    "linear": lambda: (headed(nn.Linear(5, 4), 4), vectors(5)),
    "linear_alone": lambda: (nn.Linear(5, CLASSES), vectors(5)),
    "linear_sequences": lambda: (headed(nn.Linear(5, 4), 12), vectors(3, 5)),
    "linear_grids": lambda: (headed(nn.Linear(5, 4), 24), vectors(3, 2, 5)),
    "linear_one_step": lambda: (headed(nn.Linear(5, 4), 4), vectors(1, 5)),
    "linear_steps_first": lambda: (
        Apply(
            lambda m, x: m.head(m.body(x.transpose(0, 1)).tanh().mean(dim=0)),
            body=nn.Linear(5, 4),
            head=nn.Linear(4, CLASSES),
        ),
        vectors(SAMPLES, 5),  # as many steps as samples
    ),
    "linear_by_name": lambda: (
        Apply(lambda m, x: m.body(input=x), body=nn.Linear(5, CLASSES)),
        vectors(5),
    ),
    "conv1d": lambda: (headed(nn.Conv1d(2, 4, 3), 20), images(2, 7)),
    "conv1d_stride": lambda: (headed(nn.Conv1d(2, 4, 3, stride=2, padding=1), 16), images(2, 7)),
    "conv2d": lambda: (headed(nn.Conv2d(2, 4, 3), 80), images()),
    "conv2d_no_bias": lambda: (headed(nn.Conv2d(2, 4, 3, bias=False), 80), images()),
    "conv2d_uneven": lambda: (
        headed(nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 3)), 112),
        images(),
    ),
    "conv2d_groups": lambda: (headed(nn.Conv2d(4, 6, 3, groups=2), 120), images(4)),
    "conv2d_depthwise": lambda: (headed(nn.Conv2d(3, 6, 3, groups=3), 120), images(3)),
    "conv2d_same": lambda: (headed(nn.Conv2d(2, 3, (2, 4), padding="same"), 126), images()),
    "conv2d_circular": lambda: (
        headed(nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), 126),
        images(),
    ),
    "conv2d_reflect": lambda: (
        headed(nn.Conv2d(2, 3, 3, padding=2, padding_mode="reflect", stride=2), 60),
        images(),
    ),
    "conv2d_whole_image": lambda: (headed(nn.Conv2d(2, 4, (7, 6)), 4), images()),
    "conv2d_channels_last": lambda: (
        headed(nn.Conv2d(2, 4, 3), 80),
        images().contiguous(memory_format=torch.channels_last),
    ),
    "conv3d": lambda: (headed(nn.Conv3d(2, 3, 2, groups=1, dilation=2), 24), images(2, 4, 4, 4)),
    "transposed1d": lambda: (headed(nn.ConvTranspose1d(2, 3, 3), 27), images(2, 7)),
    "transposed2d": lambda: (headed(nn.ConvTranspose2d(2, 2, 2), 112), images()),
    "transposed2d_uneven": lambda: (
        headed(
            nn.ConvTranspose2d(
                2, 4, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 3), output_padding=(1, 0)
            ),
            280,
        ),
        images(),
    ),
    "transposed2d_groups": lambda: (
        headed(nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2, bias=False), 1008),
        images(4),
    ),
    "transposed2d_of_a_size": lambda: (
        Apply(
            lambda m, x: m.head(m.body(x, output_size=[8, 8]).flatten(1).tanh()),
            body=nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1),
            head=nn.Linear(128, CLASSES),
        ),
        images(2, 4, 4),
    ),
    "transposed3d": lambda: (headed(nn.ConvTranspose3d(2, 3, 2), 81), images(2, 2, 2, 2)),
    "attention": lambda: (attentive(lambda m, x: m.attention(x, x, x)[0]), vectors(3, 4)),
    "attention_positions_first": lambda: (
        attentive(
            lambda m, x: m.attention(*[x.transpose(0, 1)] * 3)[0].transpose(0, 1), batch_first=False
        ),
        vectors(3, 4),
    ),
    "attention_no_bias": lambda: (
        attentive(lambda m, x: m.attention(x, x, x, need_weights=False)[0], bias=False),
        vectors(3, 4),
    ),
    "attention_to_earlier_positions": lambda: (
        attentive(
            lambda m, x: m.attention(
                query=x, key=x, value=x, attn_mask=torch.ones(3, 3).triu(1).bool()
            )[0]
        ),
        vectors(3, 4),
    ),
    "attention_weights": lambda: (
        attentive(lambda m, x: torch.cat(m.attention(x, x, x, average_attn_weights=True), dim=-1)),
        vectors(3, 4),
    ),
    "transformer": lambda: (
        nn.Sequential(
            nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
            nn.Flatten(),
            nn.Linear(12, CLASSES),
        ),
        vectors(3, 4),
    ),
    "batch_norm_vectors": lambda: (headed(uneven(nn.BatchNorm1d(5)), 5), vectors(5)),
    "batch_norm_sequences": lambda: (headed(uneven(nn.BatchNorm1d(2)), 14), images(2, 7)),
    "batch_norm_images": lambda: (headed(uneven(nn.BatchNorm2d(2)), 84), images()),
    "batch_norm_volumes": lambda: (headed(uneven(nn.BatchNorm3d(2)), 16), images(2, 2, 2, 2)),
    "layer_norm": lambda: (headed(uneven(nn.LayerNorm(5)), 5), vectors(5)),
    "layer_norm_sequences": lambda: (headed(uneven(nn.LayerNorm(5)), 15), vectors(3, 5)),
    "layer_norm_images": lambda: (headed(uneven(nn.LayerNorm((7, 6))), 84), images()),
    "layer_norm_no_bias": lambda: (headed(uneven(nn.LayerNorm(5, bias=False)), 5), vectors(5)),
    "group_norm": lambda: (headed(uneven(nn.GroupNorm(2, 4)), 168), images(4)),
    "group_norm_vectors": lambda: (headed(uneven(nn.GroupNorm(2, 4)), 4), vectors(4)),
    "embedding": lambda: (headed(nn.Embedding(9, 3), 15), tokens()),
    "embedding_repeats": lambda: (headed(nn.Embedding(2, 3), 24), tokens(8, 2)),
    "embedding_padding": lambda: (headed(nn.Embedding(4, 3, padding_idx=1), 24), tokens(8, 4)),
    "embedding_one_token": lambda: (headed(nn.Embedding(9, 3), 3), tokens()[:, 0]),
    "embedding_grids": lambda: (headed(nn.Embedding(9, 3), 12), tokens(4).view(SAMPLES, 2, 2)),
    "embedding_sparse": lambda: (headed(nn.Embedding(9, 3, sparse=True), 15), tokens()),
    "embedding_renormalised": lambda: (headed(nn.Embedding(9, 3, max_norm=0.9), 15), tokens()),
    **{
        f"{name}_{label}": lambda kind=kind, settings=settings: (
            recurrent(kind, **settings),
            vectors(4, 3),
        )
        for name, kind in RNNS.items()
        for label, settings in {
            "plain": {},
            "batch_first": {"batch_first": True},
            "no_bias": {"bias": False},
            "layers": {"num_layers": 2, "dropout": 0.5},
            "bidirectional": {"bidirectional": True, "batch_first": True},
            "everything": {"num_layers": 2, "bidirectional": True, "bias": False},
            "last_step": {"bidirectional": True, "read": lambda output, last: output[:, -1]},
        }.items()
    },
    "rnn_relu": lambda: (recurrent(nn.RNN, nonlinearity="relu"), vectors(4, 3)),
    "rnn_one_step": lambda: (recurrent(nn.RNN), vectors(1, 3)),
    "gru_one_step": lambda: (recurrent(nn.GRU), vectors(1, 3)),
    "rnn_as_many_steps_as_samples": lambda: (recurrent(nn.RNN), vectors(SAMPLES, 3)),
    "gru_last_state": lambda: (
        recurrent(nn.GRU, read=lambda output, last: last.transpose(0, 1)),
        vectors(4, 3),
    ),
    "lstm_last_cell": lambda: (
        recurrent(nn.LSTM, read=lambda output, last: last[1].transpose(0, 1), num_layers=2),
        vectors(4, 3),
    ),
    "samples_and_steps_in_one": lambda: (
        Apply(
            lambda m, x: m.head(m.body(x.flatten(0, 1)).view(len(x), -1).tanh()),
            body=nn.Linear(5, 4),
            head=nn.Linear(12, CLASSES),
        ),
        vectors(3, 5),
    ),
    "positions": lambda: (
        Apply(
            lambda m, x: m.head((m.token(x) + m.place(torch.arange(5))).mean(dim=1)),
            token=nn.Embedding(9, 3),
            place=nn.Embedding(5, 3),
            head=nn.Linear(3, CLASSES),
        ),
        tokens(),
    ),
    "cnn": lambda: (
        nn.Sequential(
            nn.Conv2d(2, 4, 3, bias=False),
            uneven(nn.BatchNorm2d(4)),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16, CLASSES),
        ),
        images(),
    ),
    "embedding_lstm_linear": lambda: (
        Apply(
            lambda m, x: m.head(m.norm(m.rnn(m.embedding(x.T))[0]).mean(dim=0)),
            embedding=nn.Embedding(9, 4, padding_idx=0),
            rnn=nn.LSTM(4, HIDDEN),
            norm=uneven(nn.LayerNorm(HIDDEN)),
            head=nn.Linear(HIDDEN, CLASSES),
        ),
        tokens(),
    ),
    "residual_block_on_sequences": lambda: (
        Apply(
            lambda m, x: m.head((x + m.down(m.up(m.norm(x)).relu_())).mean(dim=1)),
            norm=uneven(nn.LayerNorm(5)),
            up=nn.Linear(5, 8),
            down=nn.Linear(8, 5),
            head=nn.Linear(5, CLASSES),
        ),
        vectors(3, 5),
    ),
    "unused_layers": lambda: (
        Apply(
            lambda m, x: (m.discarded(x), m.head(x))[1],
            discarded=nn.Linear(5, 3),
            forgotten=nn.GRU(5, 3),
            head=nn.Linear(5, CLASSES),
        ),
        vectors(5),
    ),
    "body_without_gradients": lambda: (
        Apply(
            lambda m, x: m.head(m.body(x).detach()),
            body=nn.Linear(5, 3),
            head=nn.Linear(3, CLASSES),
        ),
        vectors(5),
    ),
}


def packed(m, x):
    lengths = (x[:, :, 0] > 0).sum(dim=1).clamp_min(1)  # as many as are positive
    sequences = packing.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return m.head(m.rnn(sequences)[1].squeeze(0))


def shared_bias():
    model = headed(nn.Sequential(nn.Linear(5, 5), nn.LayerNorm(5)), 5)
    model.body[1].bias = model.body[0].bias
    return model


# name -> (network, inputs, parameters by autograd)
OTHERS = {
    "layer_twice": lambda: (
        Apply(
            lambda m, x: m.head(m.body(m.body(x).tanh()).flatten(1)),
            body=nn.Conv2d(2, 2, 3, padding=1),
            head=nn.Linear(84, CLASSES),
        ),
        images(),
        {"body.weight", "body.bias"},
    ),
    "recurrent_twice": lambda: (
        Apply(
            lambda m, x: m.head(m.rnn(m.rnn(x)[0])[0][:, -1]),
            rnn=nn.GRU(3, 3, batch_first=True),
            head=nn.Linear(3, CLASSES),
        ),
        vectors(4, 3),
        {"rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0"},
    ),
    "weight_in_a_function": lambda: (
        Apply(
            lambda m, x: m.head(functional.linear(m.body(x).tanh(), m.body.weight.T)),
            body=nn.Linear(5, 4),
            head=nn.Linear(5, CLASSES),
        ),
        vectors(5),
        {"body.weight"},
    ),
    "discarded_but_used_in_a_function": lambda: (
        Apply(
            lambda m, x: (m.body(x), m.head(functional.linear(x, m.body.weight)))[1],
            body=nn.Linear(5, 4),
            head=nn.Linear(4, CLASSES),
        ),
        vectors(5),
        {"body.weight"},
    ),
    "bias_of_two_layers": lambda: (
        shared_bias(),
        vectors(5),
        {"body.0.bias", "body.1.weight"},
    ),
    "frozen_weight_in_a_function": lambda: (
        Apply(
            lambda m, x: m.head(functional.linear(m.body(x).tanh(), m.body.weight.T)),
            body=nn.Linear(5, 4).requires_grad_(False),
            head=nn.Linear(5, CLASSES),
        ),
        vectors(5),
        {"body.weight"},
    ),
    "plain_parameter": lambda: (
        Apply(
            lambda m, x: m.head(x * m.scale["by"]),
            scale=nn.ParameterDict({"by": torch.rand(5)}),
            head=nn.Linear(5, CLASSES),
        ),
        vectors(5),
        {"scale.by"},
    ),
    "attention_with_other_keys": lambda: (
        attentive(lambda m, x: m.attention(x, x.flip(1), x)[0]),
        vectors(3, 4),
        ATTENTION,
    ),
    "attention_twice": lambda: (
        attentive(lambda m, x: m.attention(x, *[m.attention(x, x, x)[0].tanh()] * 2)[0]),
        vectors(3, 4),
        ATTENTION,
    ),
    "attention_with_bias_of_keys": lambda: (
        attentive(lambda m, x: m.attention(x, x, x)[0], add_bias_kv=True),
        vectors(3, 4),
        ATTENTION | {"attention.bias_k", "attention.bias_v"},
    ),
    "slopes": lambda: (
        headed(nn.Sequential(nn.Conv1d(2, 4, 2), nn.PReLU(4)), 16),
        images(2, 5),
        {"body.1.weight"},
    ),
    "embedding_by_frequency": lambda: (
        headed(nn.Embedding(9, 3, scale_grad_by_freq=True), 15),
        tokens(),
        {"body.weight"},
    ),
    "subclass": lambda: (
        headed(type("Scaled", (nn.Linear,), {"forward": lambda m, x: x @ m.weight.T * 2})(5, 4), 4),
        vectors(5),
        {"body.weight"},
    ),
}

# name -> (network, inputs); one sample after the other
IN_TURN = {
    "packed_sequences": lambda: (
        Apply(packed, rnn=nn.GRU(3, 4, batch_first=True), head=nn.Linear(4, CLASSES)),
        vectors(4, 3),
    ),
    "projections": lambda: (recurrent(nn.LSTM, proj_size=2), vectors(4, 3)),
}


def estimates(model, x, estimator):
    """The loop's estimate and ours, in double precision."""
    model, x = model.double(), x.double() if x.is_floating_point() else x
    model(x)  # makes lazy layers
    y = torch.randint(CLASSES, (SAMPLES,))
    parameters = dict(model.named_parameters())
    drawn = drawn_labels(model, x, 0) if estimator == "monte_carlo" else None
    return (
        slow_fisher(model, parameters, x, y, estimator, 0, drawn),
        diagonal_fisher(model, parameters, x, y, estimator=estimator, generator=generator()),
    )


def assert_same(expected, got):
    assert got.keys() == expected.keys()
    for name, value in got.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-8, atol=1e-14, msg=name)


@pytest.fixture
def general(monkeypatch):
    """The names of all parameters that went the general way."""
    names = set()
    function = per_sample_gradients.together

    def spy(network, values, *arguments):
        names.update(values)
        return function(network, values, *arguments)

    monkeypatch.setattr(per_sample_gradients, "together", spy)
    monkeypatch.setattr(per_sample, "_in_turn", None)
    return names


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_equal_the_loop(name, estimator, general):
    torch.manual_seed(0)
    assert_same(*estimates(*CLOSED[name](), estimator))
    assert not general


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", OTHERS)
def test_all_others_equal_the_loop_the_general_way(name, estimator, general):
    torch.manual_seed(0)
    model, x, expected = OTHERS[name]()
    assert_same(*estimates(model, x, estimator))
    used = dict(model.named_parameters()).keys()
    assert general == expected & used


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", IN_TURN)
def test_what_cannot_be_batched_equals_the_loop(name, estimator):
    torch.manual_seed(0)
    assert_same(*estimates(*IN_TURN[name](), estimator))


def test_every_covered_layer_is_tested():
    models = [make()[0] for make in CLOSED.values()]
    assert {type(module) for model in models for module in model.modules()} >= LAYERS.keys()


@pytest.mark.parametrize("name", ["linear", "conv2d", "layer_norm", "embedding", "gru_plain"])
def test_one_sample(name):
    torch.manual_seed(0)
    model, x = CLOSED[name]()
    model(x)
    parameters, y = dict(model.named_parameters()), torch.zeros(1, dtype=torch.int64)
    got = diagonal_fisher(model, parameters, x[:1], y)
    for key, value in slow_fisher(model, parameters, x[:1], y).items():
        torch.testing.assert_close(got[key], value, rtol=1e-4, atol=1e-9, msg=key)


@pytest.mark.parametrize(
    "name", ["linear", "conv2d", "batch_norm_images", "lstm_plain", "positions"]
)
def test_frozen_parameters_are_estimated_and_stay_frozen(name):
    torch.manual_seed(0)
    model, x, *_ = {**CLOSED, **OTHERS}[name]()
    model(x)
    parameters, y = dict(model.named_parameters()), torch.zeros(SAMPLES, dtype=torch.int64)
    expected = diagonal_fisher(model, parameters, x, y)
    model.requires_grad_(False)
    for key, value in diagonal_fisher(model, parameters, x, y).items():
        torch.testing.assert_close(value, expected[key], msg=key)
        assert value.sum() > 0
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", ["linear", "packed_sequences"])
def test_gradients_are_required_as_before_after_an_error(name):
    model, x, *_ = {**CLOSED, **IN_TURN}[name]()
    first = next(model.parameters()).requires_grad_(False)
    with pytest.raises(RuntimeError):
        diagonal_fisher(model, dict(model.named_parameters()), x[..., :2], torch.zeros(SAMPLES))
    assert [p.requires_grad for p in model.parameters()] == [
        p is not first for p in model.parameters()
    ]


def test_a_name_for_a_shared_layer_is_as_good_as_another():
    torch.manual_seed(0)
    layer = nn.Linear(5, CLASSES)
    model = Apply(lambda m, x: m.second(x), first=layer, second=layer)
    x, y = vectors(5), torch.zeros(SAMPLES, dtype=torch.int64)
    first, second = (
        diagonal_fisher(model, {f"{name}.weight": layer.weight}, x, y)[f"{name}.weight"]
        for name in ("first", "second")
    )
    assert torch.equal(first, second)
    assert first.sum() > 0


def test_a_single_class_tells_nothing():
    for body in (nn.Linear(5, 4), nn.ConvTranspose1d(5, 4, 1)):
        model = Apply(lambda m, x: m.head(m.body(x).flatten(1)), body=body, head=nn.LazyLinear(1))
        x = vectors(5) if isinstance(body, nn.Linear) else vectors(5, 2)
        model(x)
        parameters, y = dict(model.named_parameters()), torch.zeros(SAMPLES, dtype=torch.int64)
        for estimator in ESTIMATORS:
            found = diagonal_fisher(model, parameters, x, y, estimator=estimator)
            assert not any(value.any() for value in found.values())
