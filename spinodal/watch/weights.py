r"""The weights of attention: its inverse temperature, its spectra, and whether it is a gradient flow.

Per head, queries W_q x + b_q, keys and values of c features and the output map W_o:

    A = s W_q^T W_k   d x d, the bilinear form of the exponent beta <Q x, K y>      (s the scale of the logits)
    V = W_o W_v       d x d, what a token sends

SA with these is a gradient flow iff A is symmetric and V is A up to a positive factor [glpr2023]. Two numbers in
[-1, 1] say how near that is, both 1 where it holds and near 0 for independent random weights:

    symmetry   <A, A^T> / |A|^2           -1 for an antisymmetric form
    alignment  <A, V> / (|A| |V|)

The effective beta is measured on tokens: the slope of the exponents s <q_i, k_j>, less each row's mean (softmax does
not see it), against the cosines of what attention reads. Queries, keys and the scale are those of the call of the
attention function (`spinodal.watch.calls`), after rotary angles and norms of queries and keys; biases of positions and
caps of the logits are left out, and so is the second term of `spinodal_usa`. Where an interaction of `spinodal.models`
is the model's attention, s is the model's scale times the interaction's beta.

The maps W are read off the same call: the derivative of q, k and v of one token by the output of the linear map that
they come from, times that map. Rotary angles cancel in A, since both tokens of it stand at one position. A norm
of queries or keys enters by its gains; the positive factor of each token is left out, which neither condition sees.
Where queries are no linear map of what attention reads (low-rank maps with a norm between, convolutions) there is no
A, and where the result is gated or normed before W_o there is no V: refused with the reason. The gain of a norm before
the maps is not folded in.

    symbol  meaning                 symbol  meaning
    c       features of a head      s       scale of the logits
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.watch.calls import LayerCall, Projection

LINEAR = 1e-3  # of the largest query: what a linear map may differ by, in float32


class AttentionCall(NamedTuple):
    """The exponents s <q_i, k_j> of a call of self-attention, in parts: queries, keys, the scale s, and what it reads.

    Keys shared between heads are repeated, a key for each head. All numbers are without units.
    """

    read: Float[Tensor, "b n d"]
    q: Float[Tensor, "b h n c"]
    k: Float[Tensor, "b h n c"]
    scale: float


class Heads(NamedTuple):
    """The matrices of A = s W_q^T W_k and V = W_o W_v, head by head; `scale` is s.

    Token x looks at token y with the exponent x^T A y, and is sent V y. Keys and values that heads share are repeated.
    Wv and Wo are None where no such maps make what attention sends, and `reason` says why. Where queries or keys are
    `normed`, A is known up to a positive factor.
    """

    Wq: Float[Tensor, "h c d"]
    Wk: Float[Tensor, "h c d"]
    Wv: Float[Tensor, "h k d"] | None
    Wo: Float[Tensor, "h d k"] | None
    scale: float
    reason: str = ""
    normed: bool = False


class Spectra(NamedTuple):
    """Eigenvalues of A and V, symmetry <A, A^T> / |A|^2 and alignment <A, V> / (|A| |V|), by head  [glpr2023].

    Of the d eigenvalues of a head, those that can differ from zero: as many as it has features. Symmetry and alignment
    lie in [-1, 1], and both are 1 for a gradient flow. V and alignment are None where V is not known.
    """

    A: Complex[np.ndarray, "h c"]
    symmetry: Float[np.ndarray, " h"]
    V: Complex[np.ndarray, "h k"] | None
    alignment: Float[np.ndarray, " h"] | None


def attention_call(call: LayerCall, *, turned: bool, place: int | None = None) -> AttentionCall:
    """Queries, keys and scale of the self-attention of a layer, and the tokens that it reads.

    The latter are the input of the attention module's first linear map or, where the call has no module, of
    projection number `place`, from which the queries come. `turned` says that the layer's tokens are [n b d].
    InputError where queries and keys are not those of the tokens.
    """
    q, k = call.q, call.k
    assert q is not None
    assert k is not None
    if call.tokens is None:
        raise InputError(f"a {type(call.layer).__name__} was called with no tokens [b n d]")
    first, second = call.tokens.shape[:2]
    b, n = (second, first) if turned else (first, second)
    fits = q.ndim == k.ndim == 4 and q.shape[0] == k.shape[0] == b and q.shape[2] == k.shape[2] == n
    if not fits or q.shape[1] % k.shape[1]:
        raise InputError(
            f"{_name(call)} attends with queries {tuple(q.shape)} to keys {tuple(k.shape)}: not the {b} x {n} tokens "
            f"of the stream to themselves"
        )
    near = [] if call.module is None else [id(m) for m in call.module.modules()]
    own = [p for p in call.projections if id(p.module) in near]
    if call.module is None and place is not None:
        own = [call.projections[place]]
    if not own or own[0].read.shape[:2] != (first, second):
        raise InputError(
            f"{_name(call)}: there is no linear map of its {b} x {n} tokens before the call of attention"
        )
    read = own[0].read.transpose(0, 1) if turned else own[0].read
    return AttentionCall(
        read, q.detach(), k.detach().repeat_interleave(q.shape[1] // k.shape[1], 1), call.scale
    )


def source_of(values: Tensor, call: LayerCall) -> int | None:
    """The index of the only projection of the call that these values depend on; None unless it is one."""
    if not values.requires_grad:
        return None
    leaves = [p.returned for p in call.projections]
    slopes = torch.autograd.grad(values.sum(), leaves, allow_unused=True, retain_graph=True)
    found = [i for i, slope in enumerate(slopes) if slope is not None]
    return found[0] if len(found) == 1 else None


class Selections:
    """Matrices S with values = S y, y being what a projection returned for the first token, kept by shape.

    They are derivatives of a token's queries, keys or values: which numbers of y belong to which head, after norms and
    rotary angles.

    Layers of one kind share them, which is checked on each layer's own numbers.
    """

    def __init__(self):
        self.known: dict[tuple, list[Tensor]] = {}

    def of(self, values: Float[Tensor, "1 h n c"], source: Projection) -> Float[Tensor, "hc o"] | None:
        """The matrix S with values = S y; None where the values are no linear map of what was returned, y."""
        flat, y = values[0, :, 0].flatten(), source.returned.detach().flatten(0, -2)[0].double()
        known = self.known.setdefault((type(source.module), tuple(values.shape[1:]), len(y)), [])
        expected = flat.detach().double()
        if (S := next((S for S in known if _close(S @ y, expected)), None)) is not None:
            return S
        rows = [
            torch.autograd.grad(flat, source.returned, row, retain_graph=True)[0].flatten(0, -2)[0]
            for row in torch.eye(len(flat), dtype=flat.dtype)
        ]
        S = torch.stack(rows).double()
        if not _close(S @ y, expected):
            return None
        known.append(S)
        return S


def _close(a: Tensor, b: Tensor) -> bool:
    return float((a - b).abs().max()) <= LINEAR * float(b.abs().max())


def heads_of(call: LayerCall, selections: Selections) -> Heads:
    """W_q = dq/dx, and so with keys and values: the maps of a layer's self-attention, from a tracked call of one input.

    InputError where queries and keys are no linear maps of what attention reads. What is not known of the values is
    said in `reason`.
    """
    Wq, read = _projected("queries", call.q, call, selections)
    Wk, other = _projected("keys", call.k, call, selections)
    if not (read is other or torch.equal(read, other)):
        raise InputError(f"{_name(call)}: its queries and keys are made of different tokens")
    h, d = len(Wq), Wq.shape[-1]
    heads = Heads(Wq, Wk.repeat_interleave(h // len(Wk), 0), None, None, call.scale, normed=call.normed)
    try:
        Wv, _ = _projected("values", call.v, call, selections)
        if Wv.shape[-1] != d:
            raise InputError(
                f"{_name(call)}: its values are made of tokens of {Wv.shape[-1]} features, not {d}"
            )
        return heads._replace(Wv=Wv.repeat_interleave(h // len(Wv), 0), Wo=_output(call, h, d))
    except InputError as error:
        return heads._replace(reason=str(error))


class HeadBiases(NamedTuple):
    """What is added to queries, keys and values of each head, and to the sum of all heads; zeros where nothing is."""

    q: Float[Tensor, "h c"]
    k: Float[Tensor, "h c"]
    v: Float[Tensor, "h k"]
    o: Float[Tensor, " d"]


def biases_of(call: LayerCall, selections: Selections) -> HeadBiases:
    """The biases beside the maps of `heads_of`, keys and values repeated for the heads that share them.

    InputError where queries, keys or values are no linear maps, are normed, or are changed before the output map.
    """
    if call.normed:
        raise InputError(f"{_name(call)}: a norm stands between its maps and its exponents")
    if call.following is None:
        raise InputError(f"{_name(call)}: what its heads return is changed before a linear map reads it")
    assert call.q is not None
    found = []
    for name, values in (("queries", call.q), ("keys", call.k), ("values", call.v)):
        assert values is not None
        place = source_of(values, call)
        S = None if place is None else selections.of(values, call.projections[place])
        if place is None or S is None:
            raise InputError(f"{_name(call)}: its {name} are no linear map of what it reads")
        bias = (S @ _bias(call.projections[place].module)).unflatten(0, (values.shape[1], -1))
        found.append(bias.repeat_interleave(call.q.shape[1] // len(bias), 0))
    q, k, v = found
    return HeadBiases(q, k, v, _bias(call.following))


def _bias(module: nn.Module) -> Float[Tensor, " o"]:
    """The bias of a linear map in double precision, zeros where it has none."""
    bias = getattr(module, "bias", None)
    return (
        torch.zeros(len(_map(module)), dtype=torch.float64) if bias is None else bias.detach().double().cpu()
    )


def _projected(
    name: str, values: Tensor | None, call: LayerCall, selections: Selections
) -> tuple[Float[Tensor, "h c d"], Tensor]:
    """(matrix [h c d] of the queries, keys or values of all heads, the tokens that it is applied to)."""
    assert values is not None
    place = source_of(values, call)
    S = None if place is None else selections.of(values, call.projections[place])
    if place is None or S is None:
        raise InputError(f"{_name(call)}: its {name} are no linear map of what it reads")
    source = call.projections[place]
    return (S @ _map(source.module)).unflatten(0, (values.shape[1], -1)), source.read


def _output(call: LayerCall, h: int, d: int) -> Float[Tensor, "h d k"]:
    """W_o by head: the weights of the linear map that is applied to the concatenated heads."""
    if call.following is None:
        raise InputError(f"{_name(call)}: what its heads return is changed before a linear map reads it")
    Wo = _map(call.following)
    if Wo.shape[0] != d or Wo.shape[1] % h:
        raise InputError(f"{_name(call)}: its output map is {tuple(Wo.shape)}, of tokens of {d} features")
    return Wo.unflatten(1, (h, -1)).permute(1, 0, 2)


def _name(call: LayerCall) -> str:
    return type(call.layer if call.module is None else call.module).__name__


def _map(module: nn.Module) -> Float[Tensor, "o d"]:
    """The weight of a linear map, in double precision."""
    W = module.weight.detach().double().cpu()  # type: ignore[union-attr]
    if type(module).__name__ == "Conv1D":
        W = W.mT
    return W


def spectra(maps: Heads) -> Spectra:
    """Eigenvalues of A = s W_q^T W_k and V = W_o W_v, symmetry and alignment of each head  [glpr2023].

    Only c x c matrices are made, since W_q^T W_k and W_k W_q^T have the same eigenvalues but for zeros. What needs V is
    None without it.
    """
    A = maps.scale * maps.Wk @ maps.Wq.mT
    size_A = maps.scale * torch.einsum("hij,hij->h", maps.Wq @ maps.Wq.mT, maps.Wk @ maps.Wk.mT).sqrt()
    symmetry = torch.einsum("hij,hji->h", A, A) / size_A.square()
    found = Spectra(torch.linalg.eigvals(A).numpy(), symmetry.numpy(), None, None)
    if maps.Wv is None or maps.Wo is None:
        return found
    V = maps.Wv @ maps.Wo
    size_V = torch.einsum("hij,hij->h", maps.Wv @ maps.Wv.mT, maps.Wo.mT @ maps.Wo).sqrt()
    shared = maps.scale * torch.einsum("hij,hji->h", maps.Wq @ maps.Wo, maps.Wv @ maps.Wk.mT)
    return found._replace(V=torch.linalg.eigvals(V).numpy(), alignment=(shared / (size_A * size_V)).numpy())


def effective_beta(call: AttentionCall, valid: Bool[Tensor, "b n"]) -> Float[np.ndarray, " h"]:
    """beta_h = sum_ij l_ij c_ij / sum_ij c_ij^2 over pairs i != j of all inputs, rows of l and c centred  [derived].

    The slope of a head's exponents l_ij = s <q_i, k_j> on the cosines c_ij of the tokens that it reads: beta itself for
    attention whose exponent is beta <x_i, x_j> on unit vectors. Tokens that are not `valid` are left out, tokens of
    zeros and inputs of fewer than three tokens too; NaN where nothing is left. It has no units.
    """
    top = bottom = torch.zeros(call.q.shape[1], dtype=torch.float64)
    for x, q, k, there in zip(call.read, call.q, call.k, valid, strict=True):
        there = there & (x != 0).any(-1)  # a token of zeros has no direction
        x, q, k = x[there].double(), q[:, there].double(), k[:, there].double()
        n = len(x)
        if n < 3:
            continue
        logits = call.scale * q @ k.mT
        unit = x / x.norm(dim=-1, keepdim=True)
        off = ~torch.eye(n, dtype=torch.bool)
        C, L = (unit @ unit.mT)[off].view(n, n - 1), logits[:, off].view(-1, n, n - 1)
        C, L = C - C.mean(-1, keepdim=True), L - L.mean(-1, keepdim=True)
        top = top + (L * C).sum((-1, -2))
        bottom = bottom + C.square().sum()
    return (top / bottom).numpy()
