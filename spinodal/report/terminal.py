"""Observations on a terminal: the effect of interactions, and several models side by side."""

from rich.table import Table

from spinodal.watch import ObservationComparison, ObservationResult


def effect_table(seen: ObservationResult) -> Table:
    """A table with one row for the model's own attention and one for each interaction in its place."""
    table = Table("attention", "mean cosine", "pairs above .9", "effective rank", "clusters", "loss")
    for name, row in seen.effect.items():
        numbers = (f"{x:.3f}" for x in (row.mean_cosine, row.mass_above_9, row.effective_rank, row.clusters))
        table.add_row(name, *numbers, "none" if row.loss is None else f"{row.loss:.3f}")
    return table


def compared_table(found: ObservationComparison) -> Table:
    """A table with one row for each model; energies are given with their beta where the betas differ."""
    table = Table("model", "layers", "mean cosine", "pairs above .9", "effective rank", "energy", "falls at")
    several = len({seen.beta for seen in found.observations.values()}) > 1
    for name, seen in found.observations.items():
        first, last, layers = seen.layers[0], seen.layers[-1], len(seen.layers) - 1
        table.add_row(
            name, str(layers), f"{first.mean_cosine:.3f} to {last.mean_cosine:.3f}", f"{last.mass_above['.9']:.3f}",
            f"{last.effective_rank:.1f}", energy_text(seen, several=several),
            f"{seen.layers_of_most_falls} of {layers}",
        )  # fmt: skip
    return table


def energy_text(seen: ObservationResult, *, several: bool) -> str:
    """The energy at the last layer, with its beta where it stands beside others."""
    beta = f" (beta {seen.beta:.3g})" if several else ""
    return f"{seen.layers[-1].energy:.3f}{beta}"
