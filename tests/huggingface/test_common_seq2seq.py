"""transformers' common tests on encoder-decoders, one class for each family of mixers."""

import unittest

import pytest
from families import Seq2Seq

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class TestRetentionSeq2Seq(Seq2Seq, unittest.TestCase):
    form = "retention"


class TestAttentionSeq2Seq(Seq2Seq, unittest.TestCase):
    form = "attention"


class TestPhaseMemorySeq2Seq(Seq2Seq, unittest.TestCase):
    form = "phase_memory"


class TestGatedLinearSeq2Seq(Seq2Seq, unittest.TestCase):
    form = "gated_linear"


class TestMinGruSeq2Seq(Seq2Seq, unittest.TestCase):
    form = "min_gru"


class TestPartitionOneSeq2Seq(Seq2Seq, unittest.TestCase):
    form = "partition_one"


class TestPartitionThreeSeq2Seq(Seq2Seq, unittest.TestCase):
    form = "partition_three"
