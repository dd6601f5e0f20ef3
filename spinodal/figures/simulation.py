"""Pictures of a simulation, with the theory in the same axes where it applies."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from spinodal import theory
from spinodal.figures import flow, movies
from spinodal.figures.space import paths_in_space
from spinodal.flows import Evolution, Layers, OrthonormalStart, Simulation, SimulationResult
from spinodal.flows.fields.schemes import POST
from spinodal.limits import unlimited
from spinodal.observables import cluster_labels
from spinodal.types import Trajectory

CLOSE = 1e-3  # 1 - cos of tokens of one colour in a movie
UNIT = 1e-9  # by which lengths of unit vectors may differ from 1
HOTTEST = 500.0  # beta up to which gamma(t) is drawn

Curve = tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]


def draw_simulation(result: Evolution) -> dict[str, Figure]:
    """The figures "cosines" and "energy" with their theory, and the tokens: "circle" for d = 2, "sphere" for d = 3.

    The theory is drawn where the result knows its experiment and has a curve for it. Of tokens without layer norm the
    figure is "paths" alone.
    """
    times, tokens, simulation = result.times, result.tokens, result.experiment
    if simulation is not None and simulation.field.euclidean:
        return {"paths": paths_in_space(times, tokens)}
    gamma = None if simulation is None else gamma_curve(simulation, times)
    figures = {"cosines": flow.cosines_over_time(times, tokens, gamma)}
    if result.energy:
        log_E = np.array(result.energy.log_energy, dtype=float)
        figures["energy"] = flow.energy_over_time(
            times, log_E, result.merge_time, simulation and energy_curve(simulation, gamma)
        )
    return figures | places(result, result.merge_time)


def draw_tokens(result: SimulationResult) -> dict[str, Figure]:
    """The figures "cosines", and "circle" for d = 2 or "sphere" for d = 3, of what `flows.simulate` returned.

    The figure "paths" of tokens that are no unit vectors.
    """
    if not on_sphere(result.tokens):
        return {"paths": paths_in_space(result.times, result.tokens)}
    cosines = {"cosines": flow.cosines_over_time(result.times, result.tokens, None)}
    return cosines | places(result, result.merges.time)


def places(result: Evolution | SimulationResult, merge_time: Float[np.ndarray, " k"]) -> dict[str, Figure]:
    """The figure of the tokens' positions: "circle" for d = 2, "sphere" for d = 3, none for other d."""
    if result.tokens.shape[2] == 2:
        return {"circle": flow.angles_over_time(result.times, result.tokens, merge_time)}
    if result.tokens.shape[2] == 3:
        return {"sphere": flow.paths_on_sphere(result.times, result.tokens)}
    return {}


def on_sphere(tokens: Float[np.ndarray, "t n d"]) -> bool:
    """Whether all tokens are unit vectors."""
    return bool(np.abs(np.linalg.norm(tokens, axis=2) - 1).max() < UNIT)


def film_simulation(result: Evolution, path: Path) -> list[Path]:
    """Writes a movie of the tokens, for d = 2 (coloured by cluster) or 3, and returns the files written."""
    shown = flow.subsample_tokens(result.tokens)
    if result.tokens.shape[2] == 3:
        return movies.sphere_movie(result.times, shown, path)
    if result.tokens.shape[2] != 2:
        return []
    import torch

    times = torch.from_numpy(result.times)
    followed = Trajectory(
        times, torch.from_numpy(shown)[:, None], torch.ones((1, shown.shape[1]), dtype=torch.bool)
    )
    labels = cluster_labels(followed, CLOSE)[:, 0].numpy()
    return movies.circle_movie(result.times, np.arctan2(shown[..., 1], shown[..., 0]), labels, path)


def gamma_curve(simulation: Simulation, times: Float[np.ndarray, " t"]) -> Curve | None:
    """(times, gamma) of the theory, where the start is orthonormal and the field is SA or USA itself."""
    field, n = simulation.field, simulation.n
    plain = (
        len(field.heads) == 1
        and np.ndim(field.heads[0].coupling) == np.ndim(field.heads[0].value_matrix) == 0
    )
    if not plain or not isinstance(simulation.start, OrthonormalStart) or simulation.weights is not None:
        return None
    head = field.heads[0]
    itself = float(head.coupling) == float(head.value_matrix) == 1 and field.one_head
    if not itself or field.causal or field.noise > 0 or field.scheme != POST or field.beta > HOTTEST:
        return None
    beta = float(field.beta)
    if isinstance(simulation.method, Layers):
        if field.kind != "sa":
            return None
        step = simulation.method.step
        layers = round(times[-1] / step)
        with unlimited():  # the simulation took as many
            return step * np.arange(layers + 1), np.asarray(theory.layer_gamma(layers, n, beta, step))
    curves = {"sa": theory.gamma_sa, "usa": theory.gamma_usa}
    if field.kind not in curves:
        return None
    return times, np.asarray(curves[field.kind](times, n, beta))


def energy_curve(simulation: Simulation, gamma: Curve | None) -> Curve | None:
    """log E = log((e^b + (n-1) e^{b g}) / (2 b n)) along gamma."""
    beta, n = float(simulation.field.beta), simulation.n
    if gamma is None or beta == 0:
        return None
    times, g = gamma
    return times, beta + np.log1p((n - 1) * np.exp(beta * (g - 1))) - math.log(2 * beta * n)
