r"""Reactions: mass action among signed compositions, in all or in each of the phases.

At equilibrium prod_i z_i^{s_i} = Omega. Compositions and constants may be negative here, so
the logarithm is complex: its real part balances magnitudes, its imaginary part, a multiple
of pi, balances signs. The three types of system differ in which compositions react.

    symbol  meaning                                          shape       [qajar2024]
    z       composition at equilibrium                       *b n        z-hat_i
    x       compositions of all phases                       *b n p      x_ij
    s       stoichiometry, products positive                 *b n r      s_ik
    Omega   equilibrium constants, not 0                     *b r        Omega_k
    t, tau  s where the composition is negative, else 0;              t_ik, tau_k (6b)
            1 where Omega is negative, else 0

The sign residual has no gradient in z or Omega: t and tau are piecewise constant.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.errors import InputError


class MassAction(NamedTuple):
    """g1 and g2 of every reaction, both zero at equilibrium and of any sign elsewhere  [qajar2024, eq. 7].

    `sign` = 0 is the paper's condition; any even integer already makes the signs agree [derived].
    """

    magnitude: Float[Tensor, "*b r"]
    sign: Float[Tensor, "*b r"]


def log_magnitude(z: Float[Tensor, "*a"], *, eps: float = 0.0) -> Float[Tensor, "*a"]:
    """log(z^2 + eps^2) / 2, which is log |z| at eps = 0  [qajar2024, eq. 7a].

    A logarithm of signed compositions whose slope stays below 1 / (2 eps). With eps = 0, the paper's, it is -inf at
    z = 0 and steep near it: for training take eps >= 1e-2.
    """
    return torch.hypot(z, torch.full((), eps, dtype=z.dtype, device=z.device)).log()


def mass_action(
    z: Float[Tensor, "*#b n"], s: Float[Tensor, "*#b n r"], Omega: Float[Tensor, "*#b r"], *, eps: float = 0.0
) -> MassAction:
    """g1_k = sum_i s_ik log|z_i| - log|Omega_k| and g2_k = sum_i t_ik - tau_k  [qajar2024, eqs. 7, 10d-f].

    Type I: the reactions are in the overall composition. `eps` is that of `log_magnitude`.

    >>> import torch
    >>> from spinodal import thermodynamics
    >>> z = torch.tensor([0.2, 0.8])
    >>> residual = thermodynamics.mass_action(z, torch.tensor([[-1.0], [1.0]]), torch.tensor([4.0]))
    >>> abs(round(residual.magnitude.item(), 5)), residual.sign.item()
    (0.0, 0.0)
    """
    g1, g2 = phase_mass_action(z.unsqueeze(-1), s.unsqueeze(-2), Omega.unsqueeze(-2), eps=eps)
    return MassAction(g1.squeeze(-2), g2.squeeze(-2))


def phase_mass_action(
    x: Float[Tensor, "*#b n p"],
    s: Float[Tensor, "*#b n #p r"],
    Omega: Float[Tensor, "*#b #p r"],
    *,
    eps: float = 0.0,
) -> MassAction:
    """g1_jk = sum_i s_ijk log|x_ij| - log|Omega_jk| and g2_jk = sum_i t_ijk - tau_jk  [qajar2024, eq. 11].

    Residuals are [..., p, r]. Type III: each phase has reactions of its own. Type II: all phases
    share them; give s as [..., n, 1, r] and Omega as [..., 1, r]. In both t depends on the sign
    of x_ij, so it carries the phase j, which eqs. 11b-c drop.
    """
    if s.shape[-3] != x.shape[-2] or s.shape[-1] != Omega.shape[-1]:
        shapes = [tuple(a.shape) for a in (x, s, Omega)]
        raise InputError("x {}, s {} and Omega {} do not fit in components or reactions".format(*shapes))
    magnitude = torch.einsum("...np,...npr->...pr", log_magnitude(x, eps=eps), s)
    sign = torch.einsum("...np,...npr->...pr", (x < 0).to(s.dtype), s)
    return MassAction(magnitude - log_magnitude(Omega, eps=eps), sign - (Omega < 0).to(s.dtype))


def degrees_of_freedom(n: int, p: int, r: int, *, per_phase: bool = False) -> int:
    """n - p - r for r reactions, or n - p (r + 1) for r in each phase  [qajar2024].

    How many compositions of n components in p phases are free, in types I and II, or in type III (`per_phase`).
    InputError where the number is negative: there are more equations than compositions.
    """
    free = n - p - (p * r if per_phase else r)
    if min(n, p) < 1 or r < 0 or free < 0:
        where = "in each phase" if per_phase else "in all"
        raise InputError(
            f"{n} components, {p} phases and {r} reactions {where} leave {free} degrees of freedom: "
            "take more components, or fewer phases or reactions"
        )
    return free
