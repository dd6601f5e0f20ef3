"""A trained ALBERT iterated four times deeper than trained: do the cosines of its tokens move to one?

Claim: iterating ALBERT's one layer sends cosines to one [glpr2023]; the small trained ALBERT that installs does not
Paper: glpr2023
Command: spinodal draw o1-albert
Minutes: 1
Expected: mean cosine .155 to .260 over 48 layers, 2 to 3% of pairs above .9; with random weights .3 to .5 at the
    start, above .98 and more than 99% of pairs at the end. Quick, 12 layers: .15 to .3 trained, .5 to .75 random
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from spinodal.figures import save_picture
from spinodal.figures.style import MODELS, panel, styled
from spinodal.watch import Observation, ObservationResult, Question, Texts, TrainedModel, observe_into

DEPTH = 48
LAYERS = (0, 1, 12, 24, 36, 48)
EXPECTED = {
    "trained, layer 0: mean cosine": (0.15, 0.16),
    "trained, layer 48: mean cosine": (0.25, 0.27),
    "trained, layer 48: pairs above .9": (0.02, 0.03),
    "random weights, layer 0: mean cosine": (0.3, 0.5),
    "random weights, layer 48: mean cosine": (0.98, 1.0),
    "random weights, layer 48: pairs above .9": (0.99, 1.0),
}
EXPECTED_QUICK = {
    "trained, layer 12: mean cosine": (0.15, 0.3),
    "trained, layer 12: pairs above .9": (0.0, 0.03),
    "random weights, layer 12: mean cosine": (0.5, 0.75),
}

# reactants >> products of textbook reactions: what this model was trained to read
REACTIONS = (
    "CC(=O)O.OCC>>CC(=O)OCC",
    "CC(=O)Cl.Nc1ccccc1>>CC(=O)Nc1ccccc1",
    "Brc1ccccc1.OB(O)c1ccccc1>>c1ccc(-c2ccccc2)cc1",
    "C=CC=C.C=CC(=O)OC>>COC(=O)C1CC=CCC1",
    "O=Cc1ccccc1.CC(C)=O>>CC(=O)C=Cc1ccccc1",
    "CC(=O)Oc1ccccc1C(=O)O.O>>CC(=O)O.O=C(O)c1ccccc1O",
    "O=C(O)c1ccccc1O.CC(=O)OC(C)=O>>CC(=O)Oc1ccccc1C(=O)O",
    "Nc1ccc(O)cc1.CC(=O)OC(C)=O>>CC(=O)Nc1ccc(O)cc1",
    "CCBr.[OH-]>>CCO.[Br-]",
    "C=C.BrBr>>BrCCBr",
    "c1ccccc1.CC(=O)Cl>>CC(=O)c1ccccc1",
    "CCC(=O)O.NCc1ccccc1>>CCC(=O)NCc1ccccc1",
    "O=C1CCCCC1.NO>>ON=C1CCCCC1",
    "CC(C)(C)OC(=O)NCC(=O)O.NCC(=O)OC>>COC(=O)CNC(=O)CNC(=O)OC(C)(C)C",
    "O=[N+]([O-])c1ccccc1.[H][H]>>Nc1ccccc1",
    "CC(=O)c1ccccc1.[BH4-]>>CC(O)c1ccccc1",
    "OCc1ccccc1.ClC(=O)c1ccccc1>>O=C(OCc1ccccc1)c1ccccc1",
    "CI.[O-]c1ccccc1>>COc1ccccc1",
    "C[Mg]Br.O=Cc1ccccc1>>CC(O)c1ccccc1",
    "N#CCc1ccccc1.O>>O=C(O)Cc1ccccc1",
)


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Histograms of cosines at six depths, the trained layer beside its random null; the observation in observed/."""
    depth, reactions = (12, REACTIONS[:3]) if quick else (DEPTH, REACTIONS)
    question = Question(nulls=("random-weights",), seed=seed)
    albert = Observation(TrainedModel("rxnmapper", Texts(reactions), depth), question)
    result = observe_into(albert, out / "observed", overwrite=True)
    layers = [layer for layer in LAYERS if layer <= depth]
    save_picture(histograms(result, layers), out / "o1-albert.png")
    measured = {}
    null = result.nulls["random-weights"].layers
    for who, found in (("trained", result.layers), ("random weights", null)):
        for k in layers:
            measured[f"{who}, layer {k}"] = {
                "mean cosine": found[k].mean_cosine,
                "pairs above .9": found[k].mass_above[".9"],
                "pairs above .99": found[k].mass_above[".99"],
            }
    measured["layers at which the energy falls in most inputs"] = result.layers_of_most_falls
    return measured


@styled
def histograms(result: ObservationResult, layers: list[int]) -> Figure:
    """Share of pairs by cosine, a row a depth; the trained layer filled, random weights as a line."""
    figure, axes = panel(5.4, 0.8 + 0.75 * len(layers))
    edges = np.array(result.cosine_edges)
    middles = (edges[1:] + edges[:-1]) / 2
    colour, other = (light for light, _ in list(MODELS.values())[:2])
    null = result.nulls["random-weights"].layers
    for row, k in enumerate(layers):
        for found, style in ((result.layers, colour), (null, other)):
            counts = np.array(found[k].histogram)
            height = 0.9 * counts / counts.max()
            if style == colour:
                axes.fill_between(middles, row + 1 - height, row + 1, color=style, alpha=0.35, linewidth=0)
            axes.plot(middles, row + 1 - height, color=style, linewidth=1.1)
    axes.set_yticks(np.arange(len(layers)) + 1, [f"layer {k}" for k in layers])
    axes.set(xlim=(-1, 1), ylim=(len(layers) + 0.05, 0), xlabel="cosine between two tokens")
    axes.set_title("ALBERT’s one layer, iterated: trained (filled) and random weights (line)")
    return figure
