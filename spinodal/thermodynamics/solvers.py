r"""Solvers: the phase fractions at which every phase is in balance with the feed.

Q(L) = -sum_i z_i log u_i is convex, and its minimum is the flash [michelsen1994]. Left free,
fractions may leave [0, 1] as long as every dilution u_i stays positive: the *negative* flash,
which tells how far a phase is from appearing. Held on the simplex, phases may vanish: the
*positive* flash, which always exists. Both depend on z / sum z alone, so z need not sum to
one; components with z_i = 0 drop out. K_ij = 0 says that phase j lacks component i, and
K_ij = infinity that the reference phase and all others but j lack it.

Both solve in float64 whatever they are given, and return float64: float32 would reach 1e-4.
Where the rounding of float64 could change a digit that is promised (K near 1, phases that
nearly coincide, traces), the mixture is solved again in twice the precision.

Float64 on CPU without gradients is solved by the loops of `compiled` first, and by tensors where these cannot
show that their digits are right. Inside, the batch is the last axis, since sums over a short last axis are
slow.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from spinodal.errors import InputError
from spinodal.thermodynamics.flash import factors_of_phases, require_same_axes
from spinodal.thermodynamics.implicit import ImplicitFractions
from spinodal.thermodynamics.interior_point import interior_point
from spinodal.thermodynamics.newton import certainty, newton, phase_sum
from spinodal.thermodynamics.refine import refine
from spinodal.thermodynamics.verdicts import Verdict, input_verdicts, refuse

BLOCK = 2**16  # entries of K, half a megabyte
PART = 2**18  # entries of K, at least, that are worth a thread of the compiled loops


class Flash(NamedTuple):
    """The solution of a flash: `fractions` L_j of all phases but the reference, which has 1 - sum_j L_j.

    `residual` is what is left of the equations. `converged` says that each L_j is right to 1e-12 max(1, |L_j|) for the
    z and K given, and each composition to 1e-11 of itself. `reference` is the reference's own fraction and
    `compositions` are x_ij of all phases, the reference last, with the digits that 1 - sum_j L_j and u_i lose where
    they are small. `verdict` is a `Verdict`. Only `fractions` carries a gradient.
    """

    fractions: Float[Tensor, "*b q"]
    iterations: Int[Tensor, "*b"]
    residual: Float[Tensor, "*b"]
    converged: Bool[Tensor, "*b"]
    reference: Float[Tensor, "*b"]
    compositions: Float[Tensor, "*b n p"]
    verdict: Int[Tensor, "*b"]


Errors = Literal["raise", "mask"]


class _Solution(NamedTuple):
    L: Tensor  # p b
    u: Tensor  # n b
    iterations: Tensor  # b
    residual: Tensor  # b
    verdict: Tensor  # b


def negative_flash(
    z: Float[Tensor, "*#b n"], K: Float[Tensor, "*#b n q"], *, steps: int = 50, errors: Errors = "raise"
) -> Flash:
    """L = argmin of -sum_i z_i log u_i over u > 0, the root of `rachford_rice`  [michelsen1994; okuno2010].

    Damped Newton. `residual` is max_j |F_j|, for z of sum one. Some L_j, or the reference's, may be outside [0, 1]:
    that phase is then absent, and the other fractions are not those of a physical split.

    Raises InputError, with the index of the mixture, for NaN, infinite or negative z, sum z = 0, NaN or negative K,
    a K that is infinite in two phases for one component, and where a unique root does not exist: some change of L
    raises every u_i (for q = 1: unless some K_i lie on each side of 1), or K has phases that are combinations of the
    others, as n < p makes them. With errors="mask" such mixtures have NaN for fractions, no gradient and a `verdict`
    that says why, and the others are solved.

    Differentiable, at any order, by the implicit function theorem.

    >>> import torch
    >>> from spinodal import thermodynamics
    >>> z, K = torch.tensor([0.5, 0.5]), torch.tensor([[2.0], [0.25]])
    >>> flash = thermodynamics.negative_flash(z, K)
    >>> round(flash.fractions.item(), 6), bool(flash.converged)
    (0.166667, True)
    """
    return _flash(z, K, steps, errors, simplex=False)


def positive_flash(
    z: Float[Tensor, "*#b n"], K: Float[Tensor, "*#b n q"], *, steps: int = 50, errors: Errors = "raise"
) -> Flash:
    """L = argmin of -sum_i z_i log u_i over the simplex  [michelsen1994].

    There L_j >= 0, c_j <= 1 and L_j (1 - c_j) = 0 with c_j = sum_i z_i K_ij / u_i, for all P phases
    alike and z of sum one. A phase that vanishes has L_j = 0 exactly. An active set where
    loops are compiled, a primal-dual interior point elsewhere. `residual` is max_j |min(L_j, 1 - c_j)|.

    Raises InputError, with the index of the mixture, for NaN, infinite or negative z, sum z = 0, NaN or
    negative K and a K that is infinite in two phases for one component; errors="mask" solves the others, as
    in `negative_flash`. A solution always exists; where phases are combinations of others (K = 1) it is one
    of many, the central one.

    Differentiable, at any order, with the set of present phases held: the gradient is one-sided where
    a phase is about to appear, and finite where the solution is not unique.

    >>> import torch
    >>> from spinodal import thermodynamics
    >>> z, K = torch.tensor([0.5, 0.5]), torch.tensor([[1.5], [0.25]])
    >>> thermodynamics.positive_flash(z, K).fractions.tolist()
    [0.0]
    """
    return _flash(z, K, steps, errors, simplex=True)


def _flash(z: Tensor, K: Tensor, steps: int, errors: Errors, *, simplex: bool) -> Flash:
    if errors not in ("raise", "mask"):
        raise InputError(f"`errors` must be 'raise' or 'mask', not {errors!r}", field="errors")
    if steps < 1:
        raise InputError(f"steps must be at least 1, not {steps}")
    compiled = _may_be_compiled(z, K)
    z, K, batch = _flatten(z, K)
    split = (_compiled_flash if compiled else _torch_flash)(z, K, steps, simplex)
    if errors == "raise" and not split.converged.all():
        refuse(split.verdict, batch, z, K)
    return split if len(batch) == 1 else Flash(*(value.reshape(batch + value.shape[1:]) for value in split))


def _may_be_compiled(z: Tensor, K: Tensor) -> bool:
    """Whether both are float64 on CPU, without gradients and outside of torch.compile."""
    for value in (z, K):
        if not (isinstance(value, Tensor) and value.dtype == torch.float64 and value.device.type == "cpu"):
            return False
        if (value.requires_grad and torch.is_grad_enabled()) or unpack_dual(value).tangent is not None:
            return False
    return not torch.compiler.is_compiling()


def _compiled_flash(z: Tensor, K: Tensor, steps: int, simplex: bool) -> Flash:
    """The flash by compiled loops, and by `_torch_flash` for mixtures that these do not solve for certain."""
    from spinodal.loops import in_parts  # here, since networks do without a compiler
    from spinodal.thermodynamics.compiled import flashes, spaces

    (b, n, q), z, K = K.shape, z.detach().contiguous(), K.detach().contiguous()
    split = Flash(
        fractions=z.new_empty(b, q),
        iterations=z.new_empty(b, dtype=torch.long),
        residual=z.new_empty(b),
        converged=z.new_empty(b, dtype=torch.bool),
        reference=z.new_empty(b),
        compositions=z.new_empty(b, q + 1, n),
        verdict=z.new_full((b,), int(Verdict.SOLVED), dtype=torch.long),
    )
    arrays = [value.numpy() for value in (z, K.view(b, n * q), *split[:-1])]

    def loop(first: int, last: int) -> None:
        flashes(*arrays, simplex, steps, *(space.numpy() for space in spaces(n, q + 1)), first, last)

    in_parts(loop, b, max(1, PART // (n * q)))
    split = split._replace(compositions=split.compositions.mT)
    if not split.converged.all():
        doubt = (~split.converged).nonzero()[:, 0]
        again = _torch_flash(z[doubt], K[doubt], steps, simplex)
        for value, better in zip(split, again, strict=True):
            value[doubt] = better
    return split


def _torch_flash(z: Tensor, K: Tensor, steps: int, simplex: bool) -> Flash:
    """The flash by tensors: on any device, with gradients, with twice the digits where they are needed."""
    with torch.no_grad():
        verdict, finite = input_verdicts(z, K)
        kept = None if (verdict == Verdict.SOLVED).all() else (verdict == Verdict.SOLVED).nonzero()[:, 0]
    if kept is not None:
        z, K = z[kept], K[kept]
    feed, z, A = z.detach(), z * _power_of_two(z.detach()), factors_of_phases(K, finite=finite)
    with torch.no_grad():
        found = _solve(z, A, steps, simplex)
        verdict = found.verdict if kept is None else verdict.index_copy(0, kept, found.verdict)
        answered = (found.verdict <= Verdict.UNCONVERGED) & found.L.isfinite().all(-1)
        L = torch.where(answered.unsqueeze(-1), found.L, 1 / A.shape[-1])
        if simplex:
            L = _leaving_enough(L)
        u = torch.where(answered.unsqueeze(-1), found.u, 1.0)
        x = A * torch.where(answered.unsqueeze(-1), feed / u, torch.nan).unsqueeze(-1)
        present = ((L > 0) | (not simplex)) & answered.unsqueeze(-1)
    L = ImplicitFractions.apply(z, A, L, u, present.double())
    L = torch.where(answered.unsqueeze(-1), L, torch.nan)

    def whole(value: Tensor) -> Tensor:
        if kept is None:
            return value
        fill = torch.nan if value.is_floating_point() else 0
        return value.new_full((len(verdict), *value.shape[1:]), fill).index_copy(0, kept, value)

    return Flash(
        fractions=whole(L[:, :-1]),
        iterations=whole(found.iterations),
        residual=whole(found.residual),
        converged=verdict == Verdict.SOLVED,
        reference=whole(L[:, -1].detach()),
        compositions=whole(x),
        verdict=verdict,
    )


def _leaving_enough(L: Tensor) -> Tensor:
    """L with its largest entry rounded down where 1 - sum_j L_j is less than a small reference phase has."""
    short = (1 - L[:, :-1].sum(-1, keepdim=True) < L[:, -1:]) & (L[:, -1:] < 1e-3)
    return torch.where(short & (L[:, :-1].amax(-1, keepdim=True) == L), L - 2.0**-53, L)


def _flatten(z: Tensor, K: Tensor) -> tuple[Tensor, Tensor, torch.Size]:
    """z [b, n] and K [b, n, q] in float64, and their batch shape."""
    for name, value in (("z", z), ("K", K)):
        if not isinstance(value, Tensor):
            raise InputError(f"`{name}` is a {type(value).__name__}: torch.as_tensor makes a tensor of it")
        if value.is_complex():
            raise InputError(f"`{name}` is complex: compositions and partition factors are real")
    require_same_axes(z, K)
    batch = z.shape[:-1]
    if len(batch) == 1 and batch == K.shape[:-2] and batch[0]:
        return z.double(), K.double(), batch
    try:
        batch = torch.broadcast_shapes(z.shape[:-1], K.shape[:-2])
    except RuntimeError:
        raise InputError(
            f"leading axes of z {tuple(z.shape)} and K {tuple(K.shape)} do not broadcast"
        ) from None
    if batch.numel() == 0:
        raise InputError(f"z {tuple(z.shape)} and K {tuple(K.shape)} hold no mixture")
    n, q = K.shape[-2:]
    return (
        z.double().expand(*batch, n).reshape(-1, n),
        K.double().expand(*batch, n, q).reshape(-1, n, q),
        batch,
    )


def _power_of_two(z: Tensor) -> Tensor:
    """The power of two that scales sum z to [1/2, 1); unlike a division by the sum it does not round z."""
    total = z.sum(-1, keepdim=True)
    return torch.ldexp(torch.ones_like(total), -total.frexp().exponent.clamp(-1000, 1000))


def _solve(z: Tensor, A: Tensor, steps: int, simplex: bool) -> _Solution:
    """The solutions, batch first: in double precision, and in twice that where its digits are not certain."""
    found = _in_blocks(_solve_in_double, z, A, steps, simplex)
    doubt = (found.verdict == Verdict.UNCONVERGED).nonzero()[:, 0]
    if not len(doubt):
        return found
    again = _in_blocks(_solve_again, z[doubt], A[doubt], steps, simplex, found.L[doubt])
    tried = torch.where(found.L[doubt].isfinite().all(-1), found.iterations[doubt], 0)
    again = again._replace(iterations=again.iterations + tried)
    return _Solution(*(old.index_copy(0, doubt, new) for old, new in zip(found, again, strict=True)))


def _in_blocks(
    solver: Callable[..., _Solution], z: Tensor, A: Tensor, steps: int, simplex: bool, *more: Tensor
):
    """The solver's results for blocks whose tensors stay in a CPU's cache; a GPU takes all at once.

    A component with z_i = 0 gets K = 1, which has no effect on L.
    """
    n, p = A.shape[1:]
    size = max(1, BLOCK // (n * p)) if A.device.type == "cpu" else max(1, len(A))
    results = []
    for feed, factors, *rest in zip(*(value.split(size) for value in (z, A, *more)), strict=True):
        feed, factors = feed.T.contiguous(), factors.permute(2, 1, 0).contiguous()
        if not (feed > 0).all():
            factors = torch.where(feed > 0, factors, 1.0)
        L, u, *report = solver(feed, factors, steps, simplex, *rest)
        results.append((L.T, u.T, *report))
    return _Solution(*(torch.cat(values) for values in zip(*results, strict=True)))


def _solve_in_double(z: Tensor, A: Tensor, steps: int, simplex: bool) -> _Solution:
    """The solutions of one block in double precision; L is NaN where it is no start for a second try."""
    if simplex:
        L, iterations, converged = interior_point(z, A, steps)
        u, largest = phase_sum(L, A), L.argmax(0)
        D = A - A.gather(0, largest.expand(1, *A.shape[1:]))
        held = (L == 0).scatter(0, largest.unsqueeze(0), True)
        sure, F, error, step = certainty(z, D, u, u, L, held)
        sure = sure & ((L > 0) | (F + error < 0)).all(0)
        residual = torch.minimum(L, -F / z.sum(0)).abs().amax(0)
        better = L + torch.where(sure, step.masked_fill(held, 0.0), 0.0)
        L = better.scatter_add(0, largest.unsqueeze(0), 1 - better.sum(0, keepdim=True))
        u, sure = phase_sum(L, A), sure & (L >= 0).all(0)
    else:
        L, iterations, converged = newton(z, A, steps)
        C = A[:-1] - A[-1]
        u = A[-1] + phase_sum(L[:-1], C)
        inner = bool((L >= 0).all())  # then sum_j L_j |K_ij - 1| <= u + 1
        size = u + 2 * A[-1] if inner else A[-1] + phase_sum(L[:-1].abs(), C.abs())
        sure, F, _, step = certainty(z, C, u, size, L[:-1])
        residual = F.abs().amax(0) / z.sum(0)
        step = torch.where(sure, step, 0.0)
        L, u = L + torch.cat([step, -step.sum(0, keepdim=True)]), u + phase_sum(step, C)
    inside = (u > 0).all(0)
    L, sure = torch.where(converged & inside, L, torch.nan), sure & inside
    return _Solution(L, u, iterations, residual, torch.where(converged & sure, 0, 1))


def _solve_again(z: Tensor, A: Tensor, steps: int, simplex: bool, L: Tensor) -> _Solution:
    """The solutions of one block in twice the precision, from first guesses L [b p]."""
    L = torch.where(L.isfinite().all(-1, keepdim=True), L, 1 / len(A)).T
    found = refine(z, A, L, steps, simplex=simplex)
    if simplex:
        residual = torch.minimum(found.L, -found.excess / z.sum(0)).abs().amax(0)
    else:
        residual = (found.excess - found.excess[-1]).abs().amax(0) / z.sum(0)
    verdict = torch.where(found.converged, int(Verdict.SOLVED), int(Verdict.UNCONVERGED))
    if not simplex:
        verdict = torch.where(found.singular, int(Verdict.NOT_UNIQUE), verdict)
        verdict = torch.where(found.unbounded, int(Verdict.NO_ROOT), verdict)
    return _Solution(found.L, found.u, found.iterations, residual, verdict)
