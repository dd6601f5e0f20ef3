"""What the common tests are told of our models: small configurations, inputs, labels, and what cannot apply to them."""

import copy
import unittest
from typing import Any

import torch
from common_tests import common
from torch import Tensor

from spinodal.models import (
    SpinodalConfig,
    SpinodalDecoder,
    SpinodalEncoderDecoder,
    SpinodalForCausalLM,
    SpinodalForMaskedLM,
    SpinodalForQuestionAnswering,
    SpinodalForSeq2SeqLM,
    SpinodalForSequenceClassification,
    SpinodalForTokenClassification,
    SpinodalModel,
)

modeling: Any = common("test_modeling_common")
ModelTesterMixin: Any = modeling.ModelTesterMixin
# Networks without a head have no loss: the library leaves them out of its tests of training by their names
NETWORKS = (SpinodalModel, SpinodalDecoder, SpinodalEncoderDecoder)
modeling.MODEL_MAPPING_NAMES = {
    **modeling.MODEL_MAPPING_NAMES,
    "spinodal": tuple(k.__name__ for k in NETWORKS),
}
ConfigTester: Any = common("test_configuration_common").ConfigTester

BATCH, LENGTH, VOCABULARY = 3, 7, 48
FORMS: dict[str, dict[str, Any]] = {
    "retention": {"mixer": "retention", "channel": "competition", "phases": 3},
    "attention": {"mixer": "attention", "channel": "swiglu"},
    "phase_memory": {"mixer": {"name": "phase-memory", "phases": 4}, "channel": "swiglu"},
    "gated_linear": {"mixer": "gated-linear", "channel": "swiglu"},
    "min_gru": {"mixer": "min-gru", "channel": "swiglu"},
    "partition_one": {"mixer": "retention", "channel": "partition", "phases": 3, "pathway": "I"},
    "partition_three": {
        "mixer": "retention",
        "channel": "partition",
        "phases": 2,
        "pathway": "III",
        "reactions": 1,
    },
}

# A common test that cannot apply, by its name and the reason
GENERATION = (
    "the source archive does not carry GenerationTesterMixin; test_generation.py of our own stands for it"
)
SKIPPED: dict[str, str] = {"test_generation_tester_mixin_inheritance": GENERATION}
SKIPPED_SEQ2SEQ: dict[str, str] = SKIPPED | {
    "test_base_model_prefix_loads_base_weights": "the network is made of an encoder and a decoder, not a head on one",
    "test_training_gradient_checkpointing_use_reentrant_true": "refused: re-entrant checkpoints lose the source",
}
# One that asks every parameter for its type alone, whatever the mixer: seconds a form
OF_ONE_FORM = {"test_bc_torch_dtype": "retention"}


class Tester:
    """What ModelTesterMixin and ConfigTester ask of a family of models."""

    batch_size, seq_length, is_training = BATCH, LENGTH, True
    hidden_size, num_hidden_layers, num_attention_heads = 16, 2, 2
    encoder_seq_length = decoder_seq_length = key_length = LENGTH

    def __init__(self, form: str, *, seq2seq: bool = False):
        self.form, self.seq2seq = form, seq2seq

    def get_config(self) -> SpinodalConfig:
        shape: dict[str, Any] = {"vocab_size": VOCABULARY, "width": 16, "depth": 2, "heads": 2, "hidden": 12}
        special: dict[str, Any] = {
            "length": 32,
            "source_length": 32,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
        return SpinodalConfig(**shape, **special, **FORMS[self.form], is_encoder_decoder=self.seq2seq)

    def prepare_config_and_inputs_for_common(self) -> tuple[SpinodalConfig, dict[str, Tensor]]:
        ids = torch.randint(3, VOCABULARY, (BATCH, LENGTH))
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self.seq2seq:
            inputs |= {"decoder_input_ids": ids.flip(1), "decoder_attention_mask": torch.ones_like(ids)}
        return self.get_config(), inputs


class Common(ModelTesterMixin):
    """The common tests as our models take them."""

    form = ""
    has_attentions = False
    skipped = SKIPPED
    test_resize_embeddings = True
    model_tester: Tester

    def setUp(self):
        # reactions act on the residuals alone, which are no part of the library's loss
        self.test_all_params_have_gradient = "pathway" not in FORMS[self.form]
        self.model_tester = Tester(self.form, seq2seq=self.is_encoder_decoder)
        self.config_tester = ConfigTester(self, config_class=SpinodalConfig, width=16, vocab_size=VOCABULARY)
        test = self.id().rpartition(".")[2]
        if reason := self.skipped.get(test):
            raise unittest.SkipTest(reason)
        if OF_ONE_FORM.get(test, self.form) != self.form:
            raise unittest.SkipTest(f"tested with {OF_ONE_FORM[test]}")

    def test_config(self):
        self.config_tester.run_common_tests()

    def _prepare_for_class(self, inputs_dict: dict, model_class: type, return_labels: bool = False) -> dict:
        """The inputs, with the labels that a class takes; the library's own goes by the names of its own classes."""
        inputs = copy.deepcopy(inputs_dict)
        if not return_labels:
            return inputs
        one = torch.zeros(BATCH, dtype=torch.long)
        if model_class is SpinodalForSequenceClassification:
            return inputs | {"labels": one}
        if model_class is SpinodalForQuestionAnswering:
            return inputs | {"start_positions": one, "end_positions": one}
        if model_class in NETWORKS:
            return inputs
        return inputs | {"labels": torch.zeros(BATCH, LENGTH, dtype=torch.long)}


class Encoder(Common):
    all_model_classes = (
        SpinodalModel,
        SpinodalForMaskedLM,
        SpinodalForSequenceClassification,
        SpinodalForTokenClassification,
        SpinodalForQuestionAnswering,
    )


class Causal(Common):
    all_model_classes = (SpinodalDecoder, SpinodalForCausalLM)


class Seq2Seq(Common):
    is_encoder_decoder = True
    skipped = SKIPPED_SEQ2SEQ
    all_model_classes = (SpinodalEncoderDecoder, SpinodalForSeq2SeqLM)
