"""What a model returns: layers, residuals and losses, and what it refuses to be asked."""

from typing import Any

import pytest
import torch
from fitting import fitting_config
from marks import slow_but
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.models import (
    Block,
    SpinodalForMaskedLM,
    SpinodalForSequenceClassification,
    SpinodalForTokenClassification,
    SpinodalModel,
)

V, B, N, D, DEPTH = 30, 3, 10, 12, 3
HEADS = [SpinodalForMaskedLM, SpinodalForSequenceClassification, SpinodalForTokenClassification]


SHAPE: dict[str, Any] = dict(vocab_size=V, width=D, depth=DEPTH, heads=2, hidden=5, phases=3, length=N)


def made(kind: type, **changes: Any):
    torch.manual_seed(0)
    return kind(fitting_config(**SHAPE | changes)).eval()


def ids() -> Tensor:
    return torch.randint(V, (B, N), generator=torch.Generator().manual_seed(1))


def mask() -> Tensor:
    attention_mask = torch.ones(B, N, dtype=torch.long)
    attention_mask[0, 6:] = attention_mask[1, :2] = 0
    return attention_mask


def labels(kind: type) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    if kind is SpinodalForSequenceClassification:
        return torch.randint(2, (B,), generator=generator)
    found = torch.randint(V if kind is SpinodalForMaskedLM else 2, (B, N), generator=generator)
    return found.where(torch.rand(B, N, generator=generator) < 0.4, -100)


@pytest.mark.parametrize("kind", [SpinodalModel, *HEADS])
def test_hidden_states_run_from_the_embedding_to_the_normalised_tokens(kind: type):
    model = made(kind)
    body = model if kind is SpinodalModel else model.model
    layers: list[Tensor] = []
    for block in body.blocks:
        block.register_forward_hook(lambda module, args, output: layers.append(output.tokens))
    out = model(ids(), mask(), output_hidden_states=True)
    assert len(out.hidden_states) == DEPTH + 1
    assert torch.equal(out.hidden_states[0], body.embedding(ids()))
    for recorded, layer in zip(out.hidden_states[1:-1], layers[:-1], strict=True):
        assert torch.equal(recorded, layer)
    assert torch.equal(out.hidden_states[-1], body.norm(layers[-1]))
    assert model(ids()).hidden_states is None


def test_blocks_add_what_their_mixers_make_of_normalised_tokens():
    x = torch.randn(B, N, D, generator=torch.Generator().manual_seed(3))
    block = Block(fitting_config(width=D, heads=2, hidden=5, phases=3))
    token, channel = block.mixers
    middle = x + token(block.norms[0](x)).tokens
    torch.testing.assert_close(block(x).tokens, middle + channel(block.norms[1](middle)).tokens)
    fused = Block(fitting_config(width=D, heads=2, hidden=5, phases=3, fused=True))
    torch.testing.assert_close(fused(x).tokens, x + fused.mixers[0](fused.norms[0](x)).tokens)


@pytest.mark.parametrize("kind", [SpinodalModel, *HEADS])
def test_residuals_are_means_over_blocks(kind: type):
    model = made(kind, channel="partition", pathway="I")
    body = model if kind is SpinodalModel else model.model
    assert model(ids()).residuals is None
    found = model(ids(), mask(), output_residuals=True).residuals
    assert set(found) == {"F", "spread", "g1", "g2"}
    x, layers = body.embedding(ids()), []
    for block in body.blocks:
        mixed = block(x, mask().bool(), residuals=True)
        x = mixed.tokens
        layers.append(mixed.reported)
    for name in found:
        torch.testing.assert_close(found[name], sum(layer[name] for layer in layers) / DEPTH)
    assert made(SpinodalModel, channel="swiglu")(ids(), output_residuals=True).residuals == {}


@pytest.mark.parametrize("kind", HEADS)
def test_loss_is_the_mean_cross_entropy_of_what_is_labelled(kind: type):
    model, target = made(kind), labels(kind)
    out = model(ids(), mask(), labels=target)
    counted = target != -100
    log_p = out.logits.log_softmax(-1)[counted].gather(-1, target[counted][:, None])
    torch.testing.assert_close(out.loss, -log_p.mean())
    shared = model(ids(), mask(), labels=target, num_items_in_batch=50).loss
    torch.testing.assert_close(shared, -log_p.sum() / 50)
    assert model(ids()).loss is None


def test_losses_of_parts_of_a_batch_add_up_to_the_whole():
    model, target = made(SpinodalForMaskedLM), labels(SpinodalForMaskedLM)
    items = (target != -100).sum()
    parts = [
        model(ids()[i : i + 1], labels=target[i : i + 1], num_items_in_batch=items).loss for i in range(B)
    ]
    torch.testing.assert_close(torch.stack(parts).sum(), model(ids(), labels=target).loss)


def test_scored_only_is_the_same_loss_with_fewer_logits():
    model, target = made(SpinodalForMaskedLM), labels(SpinodalForMaskedLM)
    full = model(ids(), mask(), labels=target)
    full.loss.backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    few = model(ids(), mask(), labels=target, scored_only=True)
    few.loss.backward()
    assert torch.equal(few.logits, full.logits[target != -100])
    torch.testing.assert_close(few.loss, full.loss)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, grads[name], rtol=1e-4, atol=1e-7)
    assert model(ids(), scored_only=True).logits.shape == (B, N, V)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize(
    "shape", [{"mixer": "attention", "channel": "swiglu"}, {"channel": "partition", "pathway": "II"}]
)
def test_gradient_reaches_every_parameter(kind: type, shape: dict):
    model = made(kind, **shape)
    out = model(ids(), mask(), labels=labels(kind), output_residuals=True)
    (out.loss + sum(out.residuals.values())).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.count_nonzero() > 0, name


def test_a_sequence_is_classified_by_the_mean_of_its_tokens_that_are_there():
    model = made(SpinodalForSequenceClassification)
    tokens = model.model(ids(), mask()).last_hidden_state
    means = torch.stack([tokens[b][mask()[b].bool()].mean(0) for b in range(B)])
    torch.testing.assert_close(model(ids(), mask()).logits, model.score(means))
    torch.testing.assert_close(model(ids()).logits, model.score(model.model(ids()).last_hidden_state.mean(1)))
    padded = ids().where(mask().bool(), 7)
    torch.testing.assert_close(model(padded, mask()).logits, model(ids(), mask()).logits)


@pytest.mark.parametrize("kind", [SpinodalModel, *HEADS])
def test_embeddings_may_stand_in_for_ids_and_any_nonzero_mask_is_presence(kind: type):
    model = made(kind)
    embeds = model.get_input_embeddings()(ids())
    out, other = model(ids(), mask()), model(inputs_embeds=embeds, attention_mask=2.0 * mask())
    assert torch.equal(out[0], other[0])
    named = model(input_ids=ids(), attention_mask=mask().bool(), output_hidden_states=True, return_dict=False)
    assert isinstance(named, tuple)
    assert torch.equal(named[0], out[0])


def test_logits_are_embeddings_read_backwards():
    model = made(SpinodalForMaskedLM)
    hidden = model.model(ids()).last_hidden_state
    E = model.model.embedding.weight
    torch.testing.assert_close(model(ids()).logits, hidden @ E.T + model.decoder.bias)


@pytest.mark.parametrize("kind", [SpinodalModel, *HEADS])
def test_wrong_calls_are_refused(kind: type):
    model = made(kind)
    embeds = torch.zeros(B, N, D)
    for give in ({}, {"input_ids": ids(), "inputs_embeds": embeds}):
        with pytest.raises(InputError, match="exactly one of input_ids and inputs_embeds"):
            model(**give)
    with pytest.raises(InputError, match=r"attention_mask is \(3, 9\), tokens are \(3, 10\)"):
        model(ids(), mask()[:, 1:])
    with pytest.raises(InputError, match=r"attention_mask is \(3, 1, 10\)"):
        model(ids(), mask()[:, None])
    for name in ("token_types", "head_mask", "residuals"):
        with pytest.raises(InputError, match=f"unknown argument {name}: a model takes input_ids"):
            model(ids(), **{name: True})


def test_dropout_acts_in_training_alone():
    model = made(SpinodalModel, dropout=0.5)
    first, second = model(ids()).last_hidden_state, model(ids()).last_hidden_state
    assert torch.equal(first, second)
    model.train()
    assert not torch.equal(model(ids()).last_hidden_state, model(ids()).last_hidden_state)
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    assert torch.equal(model(ids()).last_hidden_state, first)


@pytest.mark.parametrize("kind", slow_but(HEADS, HEADS[0]))
def test_a_model_can_learn_one_batch(kind: type):
    model = made(kind).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    target = labels(kind)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = model(ids(), labels=target).loss
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
