"""The summary of an observation in sentences that quote their numbers."""

from collections.abc import Mapping
from typing import Any

from spinodal.watch.experiment import RANDOM, SHUFFLED
from spinodal.watch.result import ObservationResult

NEAR_FLOW = 0.9
NEAR_CURVE = 0.1  # of the distance that the cosines travel
NO_TIME = 1e-5  # a step of the flow's time, below which none has passed


def summary(result: ObservationResult) -> list[str]:
    """Sentences about clusters, nulls, energy, plateaus, the theory's curve and the gradient-flow condition."""
    return [
        sentence
        for sentence in (
            result.warning,
            clustering(result),
            *(against(result, name) for name in result.nulls),
            sink(result),
            energy(result),
            groups(result),
            curve(result),
            interaction_in_place(result),
            gradient_flow(result),
        )
        if sentence
    ]


def headline(result: ObservationResult) -> tuple[str, ...]:
    """Two or three short sentences: what tokens do, whether random weights do it too, and the energy."""
    a, b = (layer.mean_cosine for layer in (result.layers[0], result.layers[-1]))
    told = [f"{verdict(result)}, mean cosine {a:.2f} to {b:.2f}."]
    if RANDOM in result.nulls:
        null = result.nulls[RANDOM].layers[-1].mean_cosine
        alike = result.nulls[RANDOM].last["mean_cosine"].beyond_chance is False
        told.append(
            f"Random weights end at {null:.2f}" + (", a difference that chance explains." if alike else ".")
        )
    falls, layers = result.layers_of_most_falls, len(result.layers) - 1
    told.append(
        f"The interaction energy falls at {falls} of {layers} layers."
        if falls
        else "The interaction energy rises through the layers."
    )
    return tuple(filter(None, (result.warning, *told)))


def verdict(result: ObservationResult) -> str:
    a, b = result.layers[0].mean_cosine, result.layers[-1].mean_cosine
    if result.layers[-1].mass_above[".9"] > 0.5:
        return "Tokens cluster: most pairs end nearly parallel"
    if b > a + 0.1:
        return "Tokens draw together, but do not collapse"
    if b < a - 0.1:
        return "Tokens spread out: they do not cluster"
    return "Tokens neither cluster nor spread much"


def clustering(result: ObservationResult) -> str:
    first, last = result.layers[0], result.layers[-1]
    return (
        f"{verdict(result)}. The mean cosine between two tokens goes from {first.mean_cosine:.2f} to "
        f"{last.mean_cosine:.2f} over {len(result.layers) - 1} layers; {last.mass_above['.9']:.1%} of pairs end above "
        f".9 and {last.mass_above['.99']:.1%} above .99."
    )


def against(result: ObservationResult, name: str) -> str:
    difference = result.nulls[name].last["mean_cosine"]
    null = result.nulls[name].layers[-1].mean_cosine
    what = {
        RANDOM: f"With random weights the last layer has {null:.2f}",
        SHUFFLED: f"With the tokens shuffled the last layer has {null:.2f}",
    }[name]
    if difference.beyond_chance is None:
        return f"{what}; with one input there is no telling whether that differs."
    far = "more than chance explains" if difference.beyond_chance else "no more than chance explains"
    return (
        f"{what}: the model's own tokens differ by {difference.mean:+.3f} ± {difference.error:.3f}, {far} "
        f"over {result.inputs} inputs."
    )


def sink(result: ObservationResult) -> str:
    last = result.layers[-1]
    if last.without_first is None:
        return ""
    without = last.without_first.mean_cosine
    if abs(without - last.mean_cosine) < 0.02:
        return "The first token makes no difference."
    return f"The first token stands apart: without it the mean cosine at the end is {without:.2f}."


def energy(result: ObservationResult) -> str:
    layers, fallen = len(result.layers) - 1, result.violations
    if not fallen:
        return (
            f"The interaction energy (beta = {result.beta:.2f}) rises at every layer, as the theory has it."
        )
    often = [v for v in fallen if v.share_of_inputs > 0.5]
    worst = max(fallen, key=lambda v: v.mean_drop * v.share_of_inputs)
    blamed = ", ".join(repr(token.text) for token in worst.tokens[:3])
    return (
        f"The interaction energy (beta = {result.beta:.2f}) does not rise monotonically: it falls in most inputs at "
        f"{len(often)} of {layers} layers. It falls most at layer {worst.layer}, by {worst.mean_drop:.3f}, and "
        f"there mostly by the tokens {blamed}."
    )


def groups(result: ObservationResult) -> str:
    tokens = len(result.shown.words)
    still = [p for p in result.plateaus if 1 < p.clusters <= tokens / 2]
    if not still:
        return (
            f"The input that is shown has no plateau: its {tokens} tokens never rest for two layers in half as many "
            f"groups or fewer."
        )
    longest = max(still, key=lambda p: p.end - p.start)
    return (
        f"The input that is shown pauses at {longest.clusters} groups (cosine at least {1 - result.epsilon:g}) "
        f"from layer {longest.start:g} to {longest.end:g}."
    )


def curve(result: ObservationResult) -> str:
    clock, cosines = result.clock, [layer.mean_cosine for layer in result.layers]
    if clock.step < NO_TIME:
        return (
            f"The mean cosines do not rise as the theory's do: no time of the flow fits them, and a constant is off by "
            f"{clock.residual:.3f} (RMS)."
        )
    verdict = "follow" if clock.residual < NEAR_CURVE * (max(cosines) - min(cosines)) else "do not follow"
    return (
        f"The mean cosines {verdict} the theory's curve: the best fit (beta = {clock.beta:.1f}, a layer is "
        f"{clock.step:.3g} of the flow's time) is off by {clock.residual:.3f} (RMS)."
    )


def interaction_in_place(result: ObservationResult) -> str:
    """A sentence that names the interactions in place of the model's attention, or "" for softmax."""
    names = dict.fromkeys(layer.interaction for layer in result.attention if layer.interaction)
    return (
        f"The model attends by {', '.join(names)}: effective betas are of the exponents with it."
        if names
        else ""
    )


def gradient_flow(result: ObservationResult) -> str:
    if result.attention_reason:
        return f"Nothing is said of the attention: {result.attention_reason}."
    if not result.attention:
        return ""
    symmetries = [layer.symmetry for layer in result.attention if layer.symmetry is not None]
    alignments = [layer.alignment for layer in result.attention if layer.alignment is not None]
    if not symmetries or not alignments:
        return f"Whether attention is a gradient flow cannot be said: {result.attention[0].reason}."
    symmetry, alignment = max(symmetries), max(alignments)
    verdict = "is" if min(symmetry, alignment) > NEAR_FLOW else "is not"
    return (
        f"Attention {verdict} a gradient flow of this energy: at best over layers the symmetry of Q^T K is "
        f"{symmetry:.2f} and its alignment with V is {alignment:.2f}; both would have to be 1."
    )


def unlike(
    results: Mapping[str, ObservationResult], origins: Mapping[str, Mapping[str, Any]] | None = None
) -> list[str]:
    """Sentences on what makes several observations incomparable: betas, views and inputs that differ.

    `origins` are the origins by name, with the configurations from their records.
    """
    found = []
    if len({result.beta for result in results.values()}) > 1:
        told = ", ".join(f"{name} {result.beta:.3g}" for name, result in results.items())
        found.append(
            f"Energies have betas of their own ({told}), and do not compare: choose one beta for all."
        )
    for what, values in (
        ("views", {name: result.view for name, result in results.items()}),
        ("epsilons", {name: f"{result.epsilon:g}" for name, result in results.items()}),
        ("numbers of inputs", {name: str(result.inputs) for name, result in results.items()}),
    ):
        if len(set(values.values())) > 1:
            told = ", ".join(f"{name} {value}" for name, value in values.items())
            found.append(f"The observations have different {what}: {told}.")
    read = {
        name: origin.get("config", {}).get("source", {}).get("inputs")
        for name, origin in (origins or {}).items()
    }
    known = [inputs for inputs in read.values() if inputs is not None]
    if any(inputs != known[0] for inputs in known):
        found.append("The observations are of different inputs.")
    if len(read) > 1 and len(known) < len(read):
        silent = ", ".join(name for name, inputs in read.items() if inputs is None)
        found.append(
            f"Whether the inputs are the same is not known: nothing says what was read in {silent} (arrays never do)."
        )
    return found
