"""Closed forms: what a simulation must reproduce, by roads that share no code with it.

One statement a function; its first line is the equation and the source. All arguments are numbers, or
arrays that broadcast, unless a signature says otherwise; SA and USA are the two flows of [glpr2023], USA with
weights e^{beta <x,y>} / n.

    gamma          equiangular tokens                   normalisation  six layer norms
    layers         the layer clock, long context        metastability  the theorem, the staircase
    pairs          two tokens, two clusters, causal     points         optimal and random points
    growth, splay  linear rates, thresholds, noise
"""

from spinodal.theory.gamma import (
    gamma_sa,
    gamma_speed_sa,
    gamma_speed_usa,
    gamma_time_sa,
    gamma_time_usa,
    gamma_usa,
)
from spinodal.theory.growth import (
    fastest_degree,
    fastest_degree_large_beta,
    fastest_degree_threshold,
    growth_rate_sa,
    growth_rate_usa,
    log_energy_dirac,
    log_energy_uniform,
    log_funk_hecke,
    noise_threshold,
    tricritical_beta,
)
from spinodal.theory.layers import (
    attention_layer,
    layer_gamma,
    layer_gamma_usa,
    layer_slowness,
    layer_to_ode,
    long_context_layer,
    ode_to_layer,
)
from spinodal.theory.metastability import (
    Metastability,
    cap_overlap,
    metastable_configuration,
    metastable_window,
    staircase_level,
)
from spinodal.theory.normalisation import (
    gamma_mix,
    gamma_ngpt,
    gamma_peri,
    gamma_pre,
    gamma_sqrt,
    log_tail_post,
    log_tail_pre,
    log_tail_sqrt,
    slope_ngpt,
    slope_peri,
    slope_post,
    slope_pre,
)
from spinodal.theory.pairs import (
    causal_rate,
    two_cluster_time_sa,
    two_token_angle_sa,
    two_token_angle_usa,
    two_token_time_sa,
    two_token_time_usa,
    waiting_time,
)
from spinodal.theory.points import (
    hemisphere_probability,
    optimal_overlaps,
)
from spinodal.theory.splay import (
    splay_rate_sa,
    splay_rate_usa,
)

__all__ = [
    "Metastability",
    "attention_layer",
    "cap_overlap",
    "causal_rate",
    "fastest_degree",
    "fastest_degree_large_beta",
    "fastest_degree_threshold",
    "gamma_mix",
    "gamma_ngpt",
    "gamma_peri",
    "gamma_pre",
    "gamma_sa",
    "gamma_speed_sa",
    "gamma_speed_usa",
    "gamma_sqrt",
    "gamma_time_sa",
    "gamma_time_usa",
    "gamma_usa",
    "growth_rate_sa",
    "growth_rate_usa",
    "hemisphere_probability",
    "layer_gamma",
    "layer_gamma_usa",
    "layer_slowness",
    "layer_to_ode",
    "log_energy_dirac",
    "log_energy_uniform",
    "log_funk_hecke",
    "log_tail_post",
    "log_tail_pre",
    "log_tail_sqrt",
    "long_context_layer",
    "metastable_configuration",
    "metastable_window",
    "noise_threshold",
    "ode_to_layer",
    "optimal_overlaps",
    "slope_ngpt",
    "slope_peri",
    "slope_post",
    "slope_pre",
    "splay_rate_sa",
    "splay_rate_usa",
    "staircase_level",
    "tricritical_beta",
    "two_cluster_time_sa",
    "two_token_angle_sa",
    "two_token_angle_usa",
    "two_token_time_sa",
    "two_token_time_usa",
    "waiting_time",
]
