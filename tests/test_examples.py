"""The names that people meet first have an example in their docstring, and it is true."""

import doctest
import importlib
import inspect

import pytest

from spinodal import layers

LAYERS = [name for name in layers.__all__ if name not in ("Layer", "CrossLayer", "mixer_layer")]
EXAMPLES = (
    "figures.draw",
    "flows.AttentionField",
    "flows.Simulation",
    "flows.ensemble",
    "flows.evolve",
    "flows.field",
    "flows.lifetimes",
    "flows.phase_diagram",
    "flows.TorchField",
    "flows.simulate",
    "flows.torch_flow",
    "graphs.build_system",
    "graphs.equilibria",
    "graphs.gradient_flow",
    "graphs.initial_state",
    "meanfield.DensityExperiment",
    "meanfield.evolve",
    "mixers.Attention",
    "mixers.GraphFlowAttention",
    "mixers.PhaseCompetition",
    "mixers.Retention",
    "models.SpinodalForMaskedLM",
    "observables.cluster_count",
    "observables.mean_cosine",
    "observables.measure",
    "observables.merge_tree",
    "runs.open_run",
    "runs.read",
    "runs.read_run",
    "shorten.shortened",
    "sphere.uniform",
    "theory.gamma_sa",
    "theory.growth_rate_sa",
    "theory.staircase_level",
    "theory.two_token_time_sa",
    "thermodynamics.mass_action",
    "thermodynamics.negative_flash",
    "thermodynamics.phase_compositions",
    "thermodynamics.positive_flash",
    "training.train",
    "watch.observe",
    "watch.record",
    *(f"layers.{name}" for name in LAYERS),
)


@pytest.mark.filterwarnings("ignore:the literal parameterisation")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_says(name: str):
    room, _, attribute = name.partition(".")
    module = importlib.import_module(f"spinodal.{room}")
    value = getattr(module, attribute)
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(value) or "", {}, name, None, 0)
    assert example.examples, f"spinodal.{name} has no example"
    report: list[str] = []
    failed, _ = doctest.DocTestRunner().run(example, out=report.append)
    assert not failed, "".join(report)
