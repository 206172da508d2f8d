"""The shared VAE: identities by enumeration, stacked seeds, and its factors."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

import estimators
from bench.problems.networks import StackedLinear
from bench.problems.vae import VAE, VAEConfig
from estimators.distributions import from_parameters, kl, log_prob, parameters, sample
from estimators.entry import Entry
from estimators.exact import expectation, states
from tests.bench.by_hand import by_seed, weights_of
from tests.estimators.cases import build, leaves

PIXELS = 16


def _config(family: str = "bernoulli", **factors) -> VAEConfig:
    if family == "categorical":
        factors.setdefault("categories", 3)
    factors.setdefault("latents", 3)
    factors.setdefault("architecture", (7, 5))
    return VAEConfig(kind="vae", dataset="digits", family=family, **factors)


def _x(rows: int = 4, stack: int = 2) -> Tensor:
    return (torch.rand(stack, rows, PIXELS, generator=torch.Generator().manual_seed(0)) > 0.5).double()


def _vae(config: VAEConfig, seeds: tuple[int, ...] = (0, 1)) -> VAE:
    mean = torch.linspace(0, 1, PIXELS)
    vae = VAE(config, mean, list(seeds)).double()
    with torch.no_grad():  # a learned prior away from its start
        prior = vae.prior_parameters
        prior += 0.3 * torch.arange(prior.numel()).reshape(prior.shape).cos()
    return vae


def _draws(vae: VAE, x: Tensor) -> Tensor:
    """Three of each row, which hold still however q changes."""
    return sample(vae.encode(x), 3, torch.Generator().manual_seed(2)).detach()


FACTORS = [
    {},
    {"signed_decoder_input": True, "centre_input": False, "prior": "learned"},
    {"entropy": "analytic", "prior": "learned"},
    {"entropy": "analytic", "centre_input": False},
    {"activation": "tanh", "decoder": (6,)},
    {"activation": "relu", "architecture": (), "decoder": (6, 7, 4)},
    {"slope": 0.2, "decoder": ()},
    {"embedding": "integer", "prior": "learned"},
    {"embedding": "integer", "signed_decoder_input": True},
]


@pytest.mark.parametrize("factors", FACTORS, ids=lambda factors: "-".join(map(str, factors)) or "default")
@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "categorical"])
def test_every_term_and_its_gradient_in_every_weight_are_the_formulas(family: str, factors: dict[str, object]) -> None:
    """Two seeds of other weights and rows; the loss of each moves none of the other's."""
    if family == "gaussian":
        factors = {key: value for key, value in factors.items() if key != "signed_decoder_input"}
    if family != "categorical":
        factors = {key: value for key, value in factors.items() if key != "embedding"}
    config = _config(family, **factors, **({"categories": 4} if family == "categorical" else {}))
    vae, x = _vae(config), _x()
    z, q, weights = _draws(vae, x), vae.encode(x), weights_of(vae)
    terms = list(by_seed(vae, weights, x, z))
    log_q, log_prior, log_likelihood = (
        torch.stack([getattr(t, name) for t in terms], 1) for name in ("log_q", "log_prior", "log_likelihood")
    )
    assert log_q.shape == (3, 2, 4)
    torch.testing.assert_close(log_prob(q, z), log_q)
    torch.testing.assert_close(log_prob(vae.prior(), z), log_prior)
    torch.testing.assert_close(vae.log_likelihood(x, z), log_likelihood)
    torch.testing.assert_close(vae.kl(q), torch.stack([t.kl for t in terms]))
    analytic = config.entropy == "analytic"
    cost, closed = vae.objective(x)(z, q), vae.closed_form(q)
    torch.testing.assert_close(cost, -log_likelihood if analytic else log_q - log_prior - log_likelihood)
    total = cost.sum()
    if analytic:
        torch.testing.assert_close(closed, torch.stack([t.kl for t in terms]))
        total = total + 3 * closed.sum()
    else:
        assert closed is None
    by_hand = sum((t.analytic_loss if analytic else t.loss).sum() for t in terms)
    names = [name for name, p in vae.named_parameters() if p.requires_grad]
    assert ("prior_parameters" in names) == (config.prior == "learned")
    found = torch.autograd.grad(total, [p for p in vae.parameters() if p.requires_grad])
    expected = torch.autograd.grad(by_hand, [weights[name] for name in names])
    for name, a, b in zip(names, found, expected, strict=True):
        assert float(b.abs().amax()) > 0.01, name
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_a_fixed_prior_is_standard_normal_or_even() -> None:
    mean, z = torch.full((PIXELS,), 0.5), torch.tensor([[[[1.0, -2.0, 0.0]]]])
    normal = VAE(_config("gaussian"), mean, [0]).prior()
    assert float(log_prob(normal, z)) == pytest.approx(-5 / 2 - 1.5 * math.log(2 * math.pi))
    assert float(log_prob(VAE(_config("bernoulli"), mean, [0]).prior(), z.sign().relu())) == pytest.approx(
        -3 * math.log(2)
    )
    classes = torch.nn.functional.one_hot(torch.tensor([[[[0, 4, 2]]]]), 5).double()
    uniform = VAE(_config("categorical", categories=5), mean, [0]).double().prior()
    assert float(log_prob(uniform, classes)) == pytest.approx(-3 * math.log(5))


@pytest.mark.parametrize("family", ["bernoulli", "categorical"])
@pytest.mark.parametrize("signed", [False, True])
def test_elbo_plus_kl_to_the_posterior_is_log_p(family: str, signed: bool) -> None:
    _elbo_plus_kl_is_log_p(_config(family, prior="learned", signed_decoder_input=signed))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_identity_holds_for_other_networks(activation: str) -> None:
    _elbo_plus_kl_is_log_p(_config("categorical", activation=activation, decoder=(6, 4, 5)))


@pytest.mark.parametrize("signed", [False, True])
def test_the_identity_holds_for_embedded_classes(signed: bool) -> None:
    _elbo_plus_kl_is_log_p(_config("categorical", embedding="integer", signed_decoder_input=signed, decoder=()))


def _elbo_plus_kl_is_log_p(config: VAEConfig, x: Tensor | None = None) -> None:
    """All three by enumeration of the latents."""
    vae, x = _vae(config), _x() if x is None else x
    q = vae.encode(x)
    z = states(q).expand(-1, *q.logits.shape)
    joint = log_prob(vae.prior(), z) + vae.log_likelihood(x, z)
    log_p = joint.logsumexp(0)
    log_q = log_prob(q, z)
    kl_to_posterior = (log_q.exp() * (log_q - (joint - log_p))).sum(0)
    elbo = -expectation(q, vae.objective(x))
    torch.testing.assert_close(elbo + kl_to_posterior, log_p)
    assert kl_to_posterior.min() > 1e-3, "a posterior equal to q would make this a test of nothing"


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "categorical"])
def test_entropy_sampled_or_analytic_is_the_same_objective(family: str) -> None:
    sampled, analytic = _vae(_config(family)), _vae(_config(family, entropy="analytic"))
    analytic.load_state_dict(sampled.state_dict())
    x = _x()
    values = []
    for vae in (sampled, analytic):
        q = vae.encode(x)
        value = expectation(q, vae.objective(x), nodes=24)
        closed = vae.closed_form(q)
        values.append(value if closed is None else value + closed)
    assert sampled.closed_form(sampled.encode(x)) is None
    torch.testing.assert_close(*values, rtol=1e-9, atol=0)
    gradients = [
        torch.autograd.grad(value.sum(), list(vae.encoder.parameters()))
        for value, vae in zip(values, (sampled, analytic), strict=True)
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_the_likelihood_is_a_sum_of_bernoulli_pixels() -> None:
    vae, x = _vae(_config()), _x()
    z = sample(vae.encode(x), 2, torch.Generator().manual_seed(0))
    logits = vae.decoder(z)
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(x.expand(logits.shape)).sum(-1)
    torch.testing.assert_close(vae.log_likelihood(x, z), expected)


def test_of_grey_pixels_it_is_minus_the_cross_entropy() -> None:
    """As published discrete VAEs have it; ELBO + KL to the posterior that it makes is the same bound's log of a sum."""
    vae, x = _vae(_config()), _x() * torch.rand(2, 4, PIXELS, generator=torch.Generator().manual_seed(5)).double()
    z = sample(vae.encode(x), 2, torch.Generator().manual_seed(0))
    on = torch.sigmoid(vae.decoder(z))
    torch.testing.assert_close(vae.log_likelihood(x, z), (x * on.log() + (1 - x) * (1 - on).log()).sum(-1))
    _elbo_plus_kl_is_log_p(_config("categorical", prior="learned"), x)


def test_kl_agrees_with_sampling() -> None:
    for family in ("gaussian", "bernoulli", "categorical"):
        vae, x = _vae(_config(family)), _x(rows=2)
        q = vae.encode(x)
        z = sample(q, 40_000, torch.Generator().manual_seed(0))
        draws = (log_prob(q, z) - log_prob(vae.prior(), z)).detach()
        error = draws.std(0) / math.sqrt(len(draws))
        assert ((draws.mean(0) - vae.kl(q)) / error).abs().max() < 5


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_a_stacked_layer_is_its_layers_one_by_one(lead: tuple[int, ...]) -> None:
    layer = StackedLinear(4, 6, [torch.Generator().manual_seed(s) for s in (0, 1)]).double()
    x = torch.randn(*lead, 2, 5, 4, dtype=torch.float64)
    y = layer(x)
    assert y.shape == (*lead, 2, 5, 6)
    for seed in range(2):
        torch.testing.assert_close(y[..., seed, :, :], x[..., seed, :, :] @ layer.weight[seed] + layer.bias[seed])


def test_a_seed_starts_from_the_same_values_in_any_stack() -> None:
    config = _config("gaussian", bias_from_data=False)
    alone, stacked = (
        VAE(config, torch.full((PIXELS,), 0.3), [7]),
        VAE(config, torch.full((PIXELS,), 0.3), [3, 7]),
    )
    for a, b in zip(alone.encoder.parameters(), stacked.encoder.parameters(), strict=True):
        assert torch.equal(a[0], b[1])
        assert not torch.equal(a[0], b[0])


def _from(generator: torch.Generator, inputs: int, outputs: int) -> list[Tensor]:
    """Weights and biases, uniform within 1 / sqrt(inputs)."""
    shapes = ((inputs, outputs), (1, outputs))
    return [torch.empty(shape).uniform_(-1, 1, generator=generator) / math.sqrt(inputs) for shape in shapes]


@pytest.mark.parametrize("bias_from_data", [True, False])
def test_a_seed_starts_from_uniform_weights_of_its_own_stream_layer_by_layer(bias_from_data: bool) -> None:
    """The streams are those of the first 32 bits of sha256 of "weights:11" and "weights:7"."""
    mean = torch.tensor([0.0, 0.0005, 0.25, 0.5, 0.9, 1.0])
    config = _config("gaussian", architecture=(5, 4), stochastic_layers=2, bias_from_data=bias_from_data)
    vae = VAE(config, mean, [11, 7])
    sizes = {
        "encoder": [(6, 5), (5, 4), (4, 6)],  # to three means and three log variances
        "decoder": [(3, 4), (4, 5), (5, 6)],
        "upper_encoder": [(3, 5), (5, 4), (4, 6)],
        "upper_decoder": [(3, 4), (4, 5), (5, 6)],
    }
    clipped = [-math.log(999), -math.log(999), -math.log(3), 0.0, math.log(9), math.log(999)]
    for index, seed in enumerate((0x4EDD1A21, 0x8A4D18BB)):
        generator = torch.Generator().manual_seed(seed)
        for name, layers in sizes.items():
            for layer, (inputs, outputs) in zip(getattr(vae, name)[::2], layers, strict=True):
                weight, bias = _from(generator, inputs, outputs)
                if (name, outputs, inputs) == ("decoder", 6, 5):
                    bias = torch.tensor([clipped if bias_from_data else [0.0] * 6])
                torch.testing.assert_close(layer.weight[index], weight)
                torch.testing.assert_close(layer.bias[index], bias)
    assert vae.prior_parameters.shape == (2, 1, 6)
    assert not vae.prior_parameters.any()


@pytest.mark.parametrize("bias_from_data", [True, False])
def test_glorots_weights_are_wider_where_layers_are_narrow_and_biases_zero(bias_from_data: bool) -> None:
    """Uniform within the root of 6 / (in + out), from the stream of a seed alone, layer by layer."""
    mean = torch.tensor([0.25, 0.5])
    config = _config(architecture=(5,), stochastic_layers=2, initialisation="glorot", bias_from_data=bias_from_data)
    vae, generator = VAE(config, mean, [11]), torch.Generator().manual_seed(0x4EDD1A21)
    for name in ("encoder", "decoder", "upper_encoder", "upper_decoder"):
        for layer in getattr(vae, name)[::2]:
            drawn = torch.empty(layer.weight.shape[1:]).uniform_(-1, 1, generator=generator)
            torch.testing.assert_close(layer.weight[0], drawn * math.sqrt(6 / sum(layer.weight.shape[1:])))
            if layer is vae.decoder[-1] and bias_from_data:
                assert layer.bias.flatten().tolist() == pytest.approx([-math.log(3), 0])
            else:
                assert not layer.bias.any()


def test_a_start_as_torchs_is_the_usual_one_with_a_bias_of_its_own() -> None:
    mean = torch.full((PIXELS,), 0.5)
    usual, torchs = (
        VAE(_config(bias_from_data=False, **more), mean, [7]) for more in ({}, {"initialisation": "torch"})
    )
    bias = torchs.decoder[-1].bias.detach()
    assert 0.3 < float(bias.abs().max() * math.sqrt(7)) <= 1  # uniform within 1 / sqrt(in)
    assert not usual.decoder[-1].bias.any()
    for (name, p), (_, other) in zip(usual.named_parameters(), torchs.named_parameters(), strict=True):
        assert name == "decoder.4.bias" or torch.equal(p, other)


@pytest.mark.parametrize(
    ("factors", "encoder", "decoder"),
    [
        ({"family": "gaussian", "architecture": "linear"}, [(16, 6)], [(3, 16)]),
        ({"family": "bernoulli", "architecture": "linear"}, [(16, 3)], [(3, 16)]),
        ({"family": "categorical", "categories": 5, "architecture": "linear"}, [(16, 15)], [(15, 16)]),
        (
            {"family": "gaussian", "architecture": "nonlinear"},
            [(16, 200), (200, 200), (200, 6)],
            [(3, 200), (200, 200), (200, 16)],
        ),
        ({"family": "bernoulli", "architecture": (9, 4)}, [(16, 9), (9, 4), (4, 3)], [(3, 4), (4, 9), (9, 16)]),
        ({"family": "bernoulli", "architecture": ()}, [(16, 3)], [(3, 16)]),
        ({"family": "gaussian", "architecture": (9,), "decoder": (2, 5)}, [(16, 9), (9, 6)], [(3, 2), (2, 5), (5, 16)]),
        ({"family": "bernoulli", "architecture": (9,), "decoder": ()}, [(16, 9), (9, 3)], [(3, 16)]),
        ({"family": "gaussian", "architecture": (), "decoder": (9, 4)}, [(16, 6)], [(3, 9), (9, 4), (4, 16)]),
    ],
)
def test_networks_have_the_sizes_of_their_architecture(
    factors: dict[str, object], encoder: list[tuple[int, int]], decoder: list[tuple[int, int]]
) -> None:
    vae = VAE(_config(**factors), torch.full((PIXELS,), 0.5), [0, 1, 2])
    for network, sizes in ((vae.encoder, encoder), (vae.decoder, decoder)):
        assert [tuple(layer.weight.shape) for layer in network[::2]] == [(3, *size) for size in sizes]
        assert [tuple(layer.bias.shape) for layer in network[::2]] == [(3, 1, outputs) for _, outputs in sizes]
        assert len(network) == 2 * len(sizes) - 1
    assert (vae.stack, vae.event) == (3, (3, 5) if factors["family"] == "categorical" else (3,))


def test_factors_do_what_they_say() -> None:
    mean = torch.tensor([0.0, 0.25, 1.0]).repeat(6)[:PIXELS]
    x = (torch.rand(1, 3, PIXELS) > 0.5).float()
    centred = VAE(_config(), mean, [0])
    raw = VAE(_config(centre_input=False), mean, [0])
    torch.testing.assert_close(centred.encode(x).logits, raw.encode(x - mean).logits)
    assert centred.decoder[-1].bias[0, 0, :3].tolist() == pytest.approx(
        torch.logit(torch.tensor([0.001, 0.25, 0.999])).tolist()
    )
    assert not VAE(_config(bias_from_data=False), mean, [0]).decoder[-1].bias.any()
    assert not centred.prior_parameters.requires_grad
    assert VAE(_config(prior="learned"), mean, [0]).prior_parameters.requires_grad
    linear = VAE(_config(architecture="linear"), mean, [0])
    assert sum(p.numel() for p in linear.encoder.parameters()) == PIXELS * 3 + 3
    nonlinear = VAE(_config(architecture="nonlinear"), mean, [0])
    assert [layer.weight.shape[1:] for layer in nonlinear.encoder[::2]] == [
        (PIXELS, 200),
        (200, 200),
        (200, 3),
    ]


def test_labels_name_every_factor_that_departs_from_the_default() -> None:
    assert _config().label == "digits/bernoulli-3/7-5"
    config = _config(
        "categorical", architecture="linear", bound="iwae", importance_samples=5, prior="learned", centre_input=False
    )
    assert config.label == "digits/categorical-3x3/linear/iwae-5/learned-prior/raw-input"
    assert _config(label="mine").label == "mine"
    assert _config(architecture=()).label == "digits/bernoulli-3/linear"
    config = _config("gaussian", architecture="nonlinear", stochastic_layers=2, bias_from_data=False)
    assert config.label == "digits/gaussian-3/nonlinear/two-layers/zero-bias"
    assert _config(entropy="analytic", signed_decoder_input=True).label == "digits/bernoulli-3/7-5/analytic/signed"
    every = _config(
        entropy="analytic", prior="learned", centre_input=False, signed_decoder_input=True, bias_from_data=False
    )
    assert every.label == "digits/bernoulli-3/7-5/analytic/learned-prior/raw-input/signed/zero-bias"


OF_CLASSES = [entry for entry in estimators.available(family="categorical") if entry.bound == "elbo"]


@pytest.mark.parametrize("entry", OF_CLASSES, ids=[entry.name for entry in OF_CLASSES])
def test_every_estimator_goes_through_the_integers_of_classes(entry: Entry) -> None:
    """As through a one-hot input whose weights are the integers': the two are one function, between the classes too."""
    integer = _vae(_config("categorical", categories=4, embedding="integer"))
    one_hot = _vae(_config("categorical", categories=4))
    with torch.no_grad():
        for name, p in one_hot.named_parameters():
            if name != "decoder.0.weight":
                p.copy_(integer.get_parameter(name))
        numbers = torch.arange(4) / torch.tensor(3.0).double()
        weight = integer.get_parameter("decoder.0.weight")  # E x L x H
        one_hot.get_parameter("decoder.0.weight").copy_((weight[:, :, None] * numbers[:, None]).flatten(1, 2))
    x, found = _x(), []
    for vae in (integer, one_hot):
        estimator = entry.create().double()
        own = torch.Generator().manual_seed(0)
        estimator.bind(stack=(2,), context_size=PIXELS, event=vae.event, generator=own).double()
        q = vae.encode(x)
        noise = torch.Generator().manual_seed(1)
        estimate = estimator(q, vae.objective(x), generator=noise, context=x)
        found.append((estimate.value, *torch.autograd.grad(estimate.surrogate.sum(), [*vae.encoder.parameters()])))
    assert all(float(g.abs().amax()) > 1e-6 for g in found[0][1:])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


def test_labels_name_the_networks_where_they_are_not_the_usual_ones() -> None:
    label = _config(activation="tanh", decoder=(9, 5), prior="learned").label
    assert label == "digits/bernoulli-3/7-5/decoder-9-5/tanh/learned-prior"
    assert _config(architecture="nonlinear", activation="relu").label == "digits/bernoulli-3/nonlinear/relu"
    label = _config("categorical", embedding="integer", signed_decoder_input=True).label
    assert label == "digits/categorical-3x3/7-5/integer/signed"
    assert _config(initialisation="glorot").label == "digits/bernoulli-3/7-5/glorot-start"
    assert _config(initialisation="torch", bias_from_data=False).label == "digits/bernoulli-3/7-5/torch-start"
    label = _config(kl_weight=0.25, kl_warm_up=300, entropy="analytic").label
    assert label == "digits/bernoulli-3/7-5/analytic/trained-kl-0.25/trained-kl-warm-up-300"
    assert _config(slope=0.2, decoder=()).label == "digits/bernoulli-3/7-5/decoder-linear/slope-0.2"


def test_what_is_the_usual_network_is_not_written_however_it_was_given() -> None:
    """So that one model has one id, that of earlier releases."""
    explicit = _config(
        decoder=(5, 7), activation="leaky-relu", slope=0.3, embedding="one-hot", kl_weight=1, kl_warm_up=0
    )
    assert (explicit, explicit.label) == (_config(), "digits/bernoulli-3/7-5")
    assert explicit.model_dump() == _config().model_dump()
    later = {"decoder", "activation", "slope", "embedding", "kl_weight", "kl_warm_up", "initialisation"}
    assert not later & explicit.model_dump().keys()
    other = _config(decoder=(5,), activation="tanh")
    assert VAEConfig.model_validate(other.model_dump(mode="json")) == other != _config()


def test_a_network_of_other_sizes_is_as_wide_as_its_model() -> None:
    """Weights by counting those of a model; two layers, whose upper networks have the decoder's sizes downwards."""
    other = {"architecture": (7,), "decoder": (6, 4), "embedding": "integer"}
    for layers in (1, 2):
        config = _config("categorical", **other, stochastic_layers=layers)
        vae = VAE(config, torch.full((64,), 0.5), [0])
        learned = sum(p.numel() for p in vae.parameters() if p.requires_grad)
        assert config.widths(1).weights == learned
        products = [m.weight.numel() + m.bias.numel() for m in (*vae.decoder, *_upper(vae)) if hasattr(m, "weight")]
        assert config.widths(1).products_of_f == sum(products)


def _upper(vae: VAE) -> list[torch.nn.Module]:
    """What is evaluated between two layers of latents, once each."""
    return [*vae.upper_encoder, *vae.upper_decoder] if vae.config.stochastic_layers == 2 else []


@pytest.mark.parametrize(
    ("factors", "states", "upper"),
    [
        ({"family": "bernoulli", "latents": 5}, 32, 1),
        ({"family": "bernoulli", "latents": 5, "stochastic_layers": 2}, 1024, 32),
        ({"family": "categorical", "latents": 2, "categories": 3}, 9, 1),
        ({"family": "categorical", "latents": 2, "categories": 3, "stochastic_layers": 2}, 81, 9),
        ({"family": "gaussian", "stochastic_layers": 2}, None, 1),
    ],
)
def test_joint_states_are_counted_over_layers(factors: dict[str, object], states: int | None, upper: int) -> None:
    assert (_config(**factors).states(), _config(**factors).states_within_f()) == (states, upper)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"family": "bernoulli", "categories": 3}, "categories belongs to categorical"),
        ({"family": "gaussian", "signed_decoder_input": True}, "for latents of 0 and 1"),
        (
            {"family": "gaussian", "bound": "iwae", "importance_samples": 5, "entropy": "analytic"},
            "no analytic entropy",
        ),
        ({"family": "gaussian", "bound": "iwae"}, "importance_samples = K belongs to bound"),
        ({"family": "gaussian", "importance_samples": 5}, "importance_samples = K belongs to bound"),
        ({"family": "gaussian", "latents": 0}, "greater than or equal to 1"),
        ({"family": "categorical", "categories": 1}, "greater than or equal to 2"),
        ({"family": "bernoulli", "bound": "iwae", "importance_samples": 0}, "greater than or equal to 1"),
        ({"family": "bernoulli", "architecture": (7, 0)}, "greater than or equal to 1"),
        ({"stochastic_layers": 2, "bound": "iwae", "importance_samples": 5}, "stochastic_layers = 2 takes bound"),
        ({"stochastic_layers": 2, "entropy": "analytic"}, "stochastic_layers = 2 takes bound"),
        ({"activation": "tanh", "slope": 0.3}, 'slope belongs to activation = "leaky-relu"; tanh has none'),
        ({"slope": 0}, 'a leaky-relu of slope 0 is activation = "relu"'),
        ({"slope": 1}, "a slope of 1 a layer bends nothing"),
        ({"slope": -0.1}, "greater than or equal to 0"),
        ({"architecture": "linear", "activation": "tanh"}, "activation is that of hidden layers, and there are none"),
        ({"architecture": (), "slope": 0.2}, "slope is that of hidden layers, and there are none"),
        ({"decoder": (7, 0)}, "greater than or equal to 1"),
        ({"decoder": (7,) * 33}, "expected at most 32 layers"),
        ({"activation": "gelu"}, "Input should be 'leaky-relu', 'relu' or 'tanh'"),
        ({"embedding": "integer"}, 'integer" is for classes, and bernoulli latents have none'),
        ({"family": "gaussian", "embedding": "integer"}, "and gaussian latents have none"),
        ({"embedding": "int"}, "Input should be 'one-hot' or 'integer'"),
        ({"initialisation": "torch"}, "and bias_from_data would set it: give bias_from_data = false beside it"),
        ({"initialisation": "he"}, "Input should be 'usual', 'torch' or 'glorot'"),
        ({"kl_weight": 0}, "greater than 0"),
        ({"kl_weight": 1001}, "less than or equal to 1000"),
        ({"kl_warm_up": -1}, "greater than or equal to 0"),
        ({"kl_warm_up": 1}, "the whole weight from the first step on"),
        ({"bound": "iwae", "importance_samples": 5, "kl_weight": 0.5}, 'kl_weight and kl_warm_up take bound = "elbo"'),
        ({"bound": "iwae", "importance_samples": 5, "kl_warm_up": 9}, 'kl_weight and kl_warm_up take bound = "elbo"'),
        ({"prior": "learnt"}, "Input should be 'fixed' or 'learned'"),
    ],
)
def test_factors_that_contradict_each_other_are_refused(factors: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        _config(**factors)


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 6.0])
@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "categorical"])
def test_the_divergence_and_its_gradient_are_those_of_torch(family: str, sharpness: float) -> None:
    values = leaves(family, sharpness)
    q = build(family, values)
    prior = build(family, [0.3 + 0.5 * p[:1].detach() for p in parameters(q)])  # one row for all
    found = kl(q, prior)
    expected = torch.distributions.kl_divergence(q, prior.expand(q.batch_shape))
    expected = expected.sum(-1)
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(value.sum(), values, retain_graph=True) for value in (found, expected))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("logit", [-20.0, -5.0, 0.0, 5.0, 17.0, 20.0])
def test_the_gradient_of_a_divergence_keeps_its_digits_where_bits_are_nearly_certain(logit: float) -> None:
    leaf = torch.tensor([[logit]], requires_grad=True)
    even = from_parameters("bernoulli", torch.zeros(1, 1))
    (found,) = torch.autograd.grad(kl(from_parameters("bernoulli", leaf), even).sum(), leaf)
    expected = logit * math.exp(-abs(logit)) / (1 + math.exp(-abs(logit))) ** 2  # logit theta (1 - theta)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_a_divergence_between_families_is_refused() -> None:
    q = build("bernoulli", leaves("bernoulli", 1.0))
    with pytest.raises(TypeError, match="q is a Bernoulli and p a Normal; expected two of one family"):
        kl(q, build("gaussian", leaves("gaussian", 1.0)))
