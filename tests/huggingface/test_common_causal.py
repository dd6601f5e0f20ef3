"""transformers' common tests on causal language models, one class for each family of mixers."""

import unittest

import pytest
from families import Causal

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class TestRetentionCausal(Causal, unittest.TestCase):
    form = "retention"


class TestAttentionCausal(Causal, unittest.TestCase):
    form = "attention"


class TestPhaseMemoryCausal(Causal, unittest.TestCase):
    form = "phase_memory"


class TestGatedLinearCausal(Causal, unittest.TestCase):
    form = "gated_linear"


class TestMinGruCausal(Causal, unittest.TestCase):
    form = "min_gru"


class TestPartitionOneCausal(Causal, unittest.TestCase):
    form = "partition_one"


class TestPartitionThreeCausal(Causal, unittest.TestCase):
    form = "partition_three"
