"""Recordings as the library's commands wrote them, which their records name: no browser waits for a model.

OBSERVATION   eight layers of twenty tokens in R^96 that contract to their mean, from tokens.safetensors: its trajectory
SIMULATION    twelve tokens on the sphere, to consensus
"""

from pathlib import Path

STORED = Path(__file__).parent / "stored"
OBSERVATION, SIMULATION = STORED / "observation", STORED / "simulation"
TRAJECTORY = OBSERVATION / "trajectory.safetensors"
LAYER = 3  # from which a flow is started
