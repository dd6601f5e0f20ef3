r"""How fast a density becomes a Dirac: near it, and as a whole.

A density with V = I whose mass has gathered at p still has some near -p, which repels. With <x, p> = cos phi the
last of it obeys phi' = -zeta(cos phi) sin phi, so that angles shrink at the rate zeta(1) near p and those from -p
grow at zeta(-1):

    zeta(c) = 1 for SA,   e^{beta c} for USA.

What is still near -p at time t began within e^{-zeta(-1) t} of it, in d - 1 directions. A smooth start has a mass
there that falls as e^{-(d-1) zeta(-1) t}, and with it W2^2, unless what is near p is slower: that falls as
e^{-2 zeta(1) t}.
"""

import numpy as np

from spinodal.theory.domain import Counts, Numbers, count, temperature


def dirac_rate_usa(beta: Numbers) -> Numbers:
    """zeta(1) = e^beta  [glpr2023].

    The local rate: that at which tokens near a Dirac approach it under USA with weights e^{beta <x,y>}; under SA it
    is 1.
    """
    return np.exp(temperature(beta))


def wasserstein_rate_usa(d: Counts, beta: Numbers) -> Numbers:
    """min((d - 1) e^{-beta}, 2 e^beta)  [derived].

    The rate at which W2^2 of a smooth density on S^{d-1} to its Dirac falls in the end under USA with weights
    e^{beta <x,y>}: of the mass that leaves the opposite point last, or, where beta is small and d large, of what is
    near the Dirac.

    >>> from spinodal import theory
    >>> round(float(theory.wasserstein_rate_usa(3, 0.5)), 4)
    1.2131
    """
    beta = temperature(beta)
    return np.minimum((count("d", d, 2) - 1) * np.exp(-beta), 2 * np.exp(beta))


def wasserstein_rate_sa(d: Counts) -> Numbers:
    """min(d - 1, 2)  [derived].

    The rate at which W2^2 of a smooth density on S^{d-1} to its Dirac falls in the end under SA, at any beta; in d = 3
    both are equal, and W2^2 falls as t e^{-2t}.
    """
    return np.minimum(count("d", d, 2) - 1.0, 2.0)
