"""Fields by their definitions: every sum written out with averages that are projected afterwards, no engine."""

import numpy as np


def attention_output(x, w, beta, Q, K, V, kind="sa", causal=False):
    """A_i = sum_j p_ij V x_j of one head."""
    A = np.zeros_like(x)
    for i in range(len(x)):
        seen = range(i + 1) if causal else range(len(x))
        e = np.array([w[j] * np.exp(beta * (Q @ x[i]) @ (K @ x[j])) for j in seen])
        factor = {"sa": 1 / e.sum(), "usa": 1.0, "gkpr": np.exp(-beta)}[kind]
        A[i] = factor * sum(e[j] * (V @ x[j]) for j in seen)
    return A


def regulated(scheme, t, r, size, along, tau=0.0, alpha=1.0):
    """(s, r') of one token  [norm2025]."""
    if scheme == "mix":
        scheme = "pre" if t >= tau else "post"
    return {
        "post": (1.0, 0.0),
        "pre": (r, along),
        "peri": (r * size, along / size),
        "ngpt": (size / alpha, 0.0),
        "sqrt": (np.sqrt(t + 1), 0.0),
    }[scheme]


def rates(x, r, A, scheme="post", t=0.0, **parameters):
    """(theta', r')."""
    drift, growth = np.zeros_like(x), np.zeros(len(x))
    for i in range(len(x)):
        along = x[i] @ A[i]
        s, growth[i] = regulated(scheme, t, r[i], np.linalg.norm(A[i]), along, **parameters)
        drift[i] = (A[i] - along * x[i]) / s
    return drift, growth
