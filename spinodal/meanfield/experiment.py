"""The evolution of a density as a value: all that its result depends on.

experiment = DensityExperiment(AttentionField(beta=5.0), WhiteNoise(sigma=0.01), until="diracs")
result = evolve(experiment)
print(result); result.record.moments; figures.draw(result)["life"].savefig("life.png")
"""

import dataclasses
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from jaxtyping import Float

from spinodal.arrays import token_array
from spinodal.errors import InputError, require_types
from spinodal.flows import AttentionField, probe_array
from spinodal.flows.fields.composed import parts_beyond
from spinodal.limits import require_at_most
from spinodal.meanfield.kernel import is_invariant, reads_prefixes
from spinodal.meanfield.modes import CircleModes, SphereModes, ZonalModes
from spinodal.meanfield.starts import WhiteNoise, dimension
from spinodal.runs import SAVED_IF_SET

ENDS = ("diracs", "consensus")
FINEST, COARSEST = 1e-13, 1e-2
FEWEST, MOST_DEGREES = 4, 2048
MOST_SLICES = 64
MOST_PROBES = 10_000  # that are kept after every step
MOST_TOKENS = 1024  # of a reference on S^2, to which W2 is an assignment, in time of their cube
NODES = 32  # degree of those that carry a density on S^2, unless `resolution` says
SERVED = ("beta", "kind", "heads", "causal", "scheme", "kappa", "feed_forward", "engine")
PLAIN = AttentionField(beta=0.0)
FIELD = AttentionField(beta=5.0)


@dataclass(frozen=True, eq=False)
class DensityExperiment:
    """d_t mu + div(mu X[mu]) = (1 / kappa) Laplacian mu from a start until a time, as a value  [bpa2024].

    The evolution of infinitely many tokens. `field` is the drift X and holds kappa, post-LN: on the circle and on S^2
    any heads with their Q, K, V and a feed-forward part, with noise and zonal one head with multiples of the identity.
    The start says where tokens are: on the circle, on S^2, or on latitudes of S^{d-1} (zonal). InputError for what does
    not fit, at construction.

        until       a time, "diracs" (only atoms are left) or "consensus" (one is)
        tolerance   error of a step in W2: transported mass times distance
        resolution  with noise, degrees that are kept (64); on S^2 and in slices, degree of the nodes (32); elsewhere
                    none, as panels split by themselves
        slices      for USA under a causal mask, the number of indices that have a density of their own (8)
        probes      unit vectors [m d] without mass that drift with the density, or a number of uniform ones;
                    without noise, until a time or "diracs"; zonal, the axis is e_d
        reference   a density, as modes, or tokens [m d] of equal mass, to which W2 is recorded at every step, without
                    noise; on S^2 with a bound on the error, up to 1,024 tokens, and for one token, a Dirac, exactly

    >>> from spinodal import meanfield
    >>> from spinodal.flows import AttentionField
    >>> start = meanfield.WhiteNoise(sigma=0.01, seed=1)
    >>> experiment = meanfield.DensityExperiment(AttentionField(beta=5.0), start, until=2.0)
    >>> experiment.geometry, experiment.d, experiment.noisy
    ('circle', 2, False)
    """

    field: AttentionField = FIELD
    start: WhiteNoise | CircleModes | ZonalModes | SphereModes = dataclasses.field(default_factory=WhiteNoise)
    until: float | str = "diracs"
    tolerance: float = 1e-8
    resolution: int | None = None
    probes: int | Float[np.ndarray, "..."] | None = dataclasses.field(default=None, metadata=SAVED_IF_SET)
    reference: CircleModes | ZonalModes | SphereModes | Float[np.ndarray, "..."] | None = dataclasses.field(
        default=None, metadata=SAVED_IF_SET
    )
    slices: int | None = dataclasses.field(default=None, metadata=SAVED_IF_SET)

    def __post_init__(self) -> None:
        require_types(self, field=AttentionField, start=(WhiteNoise, CircleModes, ZonalModes, SphereModes))
        require_types(self, until=(Real, str), tolerance=Real, resolution=(Integral, type(None)))
        check_field(self)
        if not FINEST <= self.tolerance <= COARSEST:
            raise InputError(
                f"`tolerance` {self.tolerance:g} must lie between {FINEST:g}, where rounding begins, and {COARSEST:g}",
                field="tolerance",
            )
        if self.noisy and self.geometry == "sphere":
            raise InputError(
                f"`kappa` {self.field.kappa:g} on the sphere: densities with noise are solved on the circle and "
                "zonal only",
                field="kappa",
            )
        check_resolution(self)
        check_degree(self, "start", self.start)
        check_slices(self)
        check_until(self)
        if self.probes is not None:
            object.__setattr__(self, "probes", checked_probes(self))
        if self.reference is not None:
            object.__setattr__(self, "reference", checked_reference(self))

    @property
    def geometry(self) -> str:
        """The geometry of the start: circle, sphere or zonal."""
        return self.start.geometry

    @property
    def d(self) -> int:
        """The dimension of the space R^d in which tokens are unit vectors."""
        return dimension(self.start.geometry, self.start.d)

    @property
    def noisy(self) -> bool:
        """Whether kappa is finite."""
        return self.field.kappa < np.inf

    @property
    def sliced(self) -> bool:
        """Whether each index of a token has a density of its own."""
        return reads_prefixes(self.field)

    @property
    def carried(self) -> Float[np.ndarray, "m d"] | None:
        """The probes as an array; None if there are none."""
        return self.probes if isinstance(self.probes, np.ndarray) else None


def check_field(experiment: "DensityExperiment") -> None:
    """InputError for a field that no solver of densities takes, in this geometry or in any."""
    field = experiment.field
    if field.scheme != PLAIN.scheme:
        raise InputError(
            "`field`: a density flows under post-LN; simulate particles for other schemes", field="field"
        )
    if others := parts_beyond(field, SERVED):
        raise InputError(
            f"`field` with {', '.join(others)}: no density flows by these; simulate particles", field="field"
        )
    if not is_invariant(field) and (experiment.noisy or experiment.geometry == "zonal"):
        raise InputError(
            "`field`: with noise, and zonal, a density flows by one head whose beta Q^T K >= 0 and V are multiples of "
            "the identity, without feed-forward; take the circle or the sphere without noise, or simulate particles",
            field="field",
        )
    if field.d not in (None, experiment.d):
        raise InputError(
            f"`field`: its matrices have d = {field.d}, the tokens of the start d = {experiment.d}",
            field=("field", "start"),
        )
    if field.engine != PLAIN.engine:
        raise InputError(
            f"`field`: densities choose their engines themselves; leave out engine {field.engine!r}",
            field="field",
        )


def check_degree(experiment: DensityExperiment, name: str, modes: object) -> None:
    """InputError for modes on S^2 of a higher degree than the nodes."""
    nodes = experiment.resolution or NODES
    if isinstance(modes, SphereModes) and modes.highest > nodes:
        raise InputError(
            f"`{name}` has degree {modes.highest}, beyond the nodes' {nodes}: raise `resolution`",
            field=(name, "resolution"),
        )


def check_resolution(experiment: DensityExperiment) -> None:
    """InputError for a resolution that is too low, or that the geometry does not use."""
    resolution = experiment.resolution
    if resolution is None:
        return
    if not (experiment.noisy or experiment.geometry == "sphere" or experiment.sliced):
        raise InputError(
            f"`resolution` {resolution}: without noise, panels split by themselves as `tolerance` asks; leave it out",
            field=("resolution", "tolerance"),
        )
    if resolution < FEWEST:
        raise InputError(f"`resolution` {resolution}: {FEWEST} degrees or more", field="resolution")
    require_at_most(MOST_DEGREES, resolution, "degrees", "resolution")


def check_slices(experiment: DensityExperiment) -> None:
    """InputError for a number of slices where there are none, for too many, and for probes and references of slices."""
    slices = experiment.slices
    if not experiment.sliced:
        if slices is not None:
            raise InputError(
                f"`slices` {slices}: only USA under a causal mask has a density at each index; leave them out",
                field="slices",
            )
        return
    if slices is not None:
        require_types(experiment, slices=Integral)
        if not 2 <= slices <= MOST_SLICES:
            raise InputError(f"`slices` {slices}: from 2 to {MOST_SLICES}", field="slices")
    for name in ("probes", "reference"):
        if getattr(experiment, name) is not None:
            raise InputError(
                f"`{name}` with a causal mask under USA: densities at several indices have none", field=name
            )


def check_until(experiment: DensityExperiment) -> None:
    """InputError for an end that the field never reaches, or that is no time."""
    until = experiment.until
    if until in ENDS:
        if not is_invariant(experiment.field):
            raise InputError(
                f"`until` {until}: whether the Q, K, V, heads or feed-forward of this field make Diracs is not known; "
                "give a time",
                field="until",
            )
        if experiment.noisy or not float(experiment.field.heads[0].value_matrix) > 0:
            raise InputError(
                f"`until` {until}: with noise or V = -I no Diracs form; give a time", field="until"
            )
    elif isinstance(until, str) or not 0 < until < np.inf:
        raise InputError(f"`until` {until}: a positive time, 'diracs' or 'consensus'", field="until")


def checked_probes(experiment: DensityExperiment) -> Float[np.ndarray, "m d"]:
    """The probes of an experiment as unit vectors; InputError for others, and where none are carried."""
    if experiment.noisy:
        raise InputError("`probes` with noise: there are none; take `kappa` = inf", field=("probes", "kappa"))
    if experiment.until == "consensus":
        raise InputError(
            "`probes` with `until` consensus: beside an atom they keep steps short, however long clusters wait; give a "
            "time or 'diracs'",
            field=("probes", "until"),
        )
    probes = experiment.probes
    assert probes is not None
    if isinstance(probes, Integral):
        require_at_most(MOST_PROBES, probes, "probes", "probes")
    found = probe_array(probes, experiment.d)
    require_at_most(MOST_PROBES, len(found), "probes", "probes")
    return found


def checked_reference(
    experiment: DensityExperiment,
) -> CircleModes | ZonalModes | SphereModes | Float[np.ndarray, "m d"]:
    """The reference of an experiment, tokens as unit vectors; InputError where W2 to it is not known."""
    reference = experiment.reference
    if experiment.noisy:
        raise InputError(
            "`reference` with noise: W2 is recorded without it; take `kappa` = inf",
            field=("reference", "kappa"),
        )
    if isinstance(reference, CircleModes | ZonalModes | SphereModes):
        if (reference.geometry, reference.d) != (experiment.geometry, experiment.d):
            raise InputError(
                f"`reference` is {reference.geometry} with d = {reference.d}, the start {experiment.geometry} with d = "
                f"{experiment.d}",
                field=("reference", "start"),
            )
        check_degree(experiment, "reference", reference)
        return reference
    tokens = token_array(reference, "reference")
    if tokens.shape[1] != experiment.d:
        raise InputError(
            f"`reference` has shape {tokens.shape}: unit vectors [m {experiment.d}] are needed",
            field="reference",
        )
    length = np.linalg.norm(tokens, axis=1)
    if (wrong := np.flatnonzero(~(np.abs(length - 1) <= 1e-6))).size:
        raise InputError(
            f"`reference`: token {wrong[0]} has length {length[wrong[0]]:.6g}: unit vectors [m {experiment.d}] are "
            "needed, see sphere.normalise",
            field="reference",
        )
    if experiment.geometry == "zonal" and np.abs(tokens[:, :-1]).max() > 1e-6:
        raise InputError(
            "`reference`: a zonal density lies about the last axis, and W2 is known to tokens at its ends, "
            "(0, ..., +-1); in d = 3 a start on the sphere takes tokens anywhere",
            field="reference",
        )
    if experiment.geometry == "sphere" and len(tokens) > MOST_TOKENS:
        raise InputError(
            f"`reference`: {len(tokens)} tokens, and on S^2 an assignment is for {MOST_TOKENS:,} at most; "
            "`observables.wasserstein` is for 4,096",
            field="reference",
        )
    return tokens
