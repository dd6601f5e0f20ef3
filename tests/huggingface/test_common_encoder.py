"""transformers' common tests on encoders, one class for each family of mixers."""

import unittest

import pytest
from families import Encoder

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class TestRetentionEncoder(Encoder, unittest.TestCase):
    form = "retention"


class TestAttentionEncoder(Encoder, unittest.TestCase):
    form = "attention"


class TestPhaseMemoryEncoder(Encoder, unittest.TestCase):
    form = "phase_memory"


class TestGatedLinearEncoder(Encoder, unittest.TestCase):
    form = "gated_linear"


class TestMinGruEncoder(Encoder, unittest.TestCase):
    form = "min_gru"


class TestPartitionOneEncoder(Encoder, unittest.TestCase):
    form = "partition_one"


class TestPartitionThreeEncoder(Encoder, unittest.TestCase):
    form = "partition_three"
