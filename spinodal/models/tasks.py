r"""Encoders with a head: filling masks, classifying sequences and tokens, finding answers in a text.

Each class adds one linear layer to `SpinodalModel` and returns `TaskOutput`. Keywords that a
task does not take go to the encoder (`attention_mask`, `inputs_embeds`, `output_hidden_states`,
`output_residuals`), which refuses those it does not know.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import ModelOutput
from transformers.utils.generic import can_return_tuple

from spinodal.errors import InputError
from spinodal.mixers.ops.precision import at_least_float32
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.encoder import SpinodalModel, SpinodalPreTrainedModel, validity

IGNORED = -100  # the label of a position that counts for nothing


@dataclass
class TaskOutput(ModelOutput):
    """Loss (given labels) and logits of a task, with what the encoder returned beside them."""

    loss: Float[Tensor, ""] | None = None
    logits: Float[Tensor, "..."] | None = None
    hidden_states: tuple[Float[Tensor, "b n d"] | None, ...] | None = None
    residuals: dict[str, Float[Tensor, ""]] | None = None


def cross_entropy(
    logits: Float[Tensor, "k v"], labels: Int[Tensor, " k"], items: Tensor | int | None
) -> Float[Tensor, ""]:
    """The mean of -log softmax(logits)[label], or its sum divided by `items` where a batch comes in parts.

    Labels of -100 are left out.
    """
    (logits,) = at_least_float32(logits)  # bfloat16 would keep three digits of a loss
    if items is None:
        return functional.cross_entropy(logits, labels, ignore_index=IGNORED)
    return functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") / items


def label_count(config: SpinodalConfig, *, one_of_them: bool = False) -> int:
    """`config.num_labels`. InputError where it is below 1, or below 2 for a choice of one label.

    `one_of_them` is for heads that only choose one label: InputError for another `problem_type`.
    """
    labels, problem = config.num_labels or 0, config.problem_type
    choice = one_of_them or problem == "single_label_classification"
    if labels < (2 if choice else 1) or (
        one_of_them and problem not in (None, "single_label_classification")
    ):
        raise InputError(
            f"num_labels={labels}, problem_type={problem}: a choice of one label takes two or more, a regression "
            f"or several labels at once a model of sequences"
        )
    return labels


def classification_loss(
    logits: Float[Tensor, "b k"], labels: Tensor, config: SpinodalConfig, items: Tensor | int | None
) -> Float[Tensor, ""]:
    """The loss of the problem that `problem_type` names, or that number and kind of labels tell.

    One label, or regression: mean squared error. Whole numbers: cross entropy of one label among several. Others:
    binary cross entropy of each label.
    """
    problem = config.problem_type
    if problem is None:
        whole = not labels.is_floating_point()
        problem = (
            "regression" if config.num_labels == 1 else "single_label_classification" if whole else "multi"
        )
    if problem == "single_label_classification":
        return cross_entropy(logits, labels.flatten(), items)
    if labels.numel() != logits.numel():
        raise InputError(
            f"labels are {tuple(labels.shape)}, and num_labels={config.num_labels}: {problem} takes "
            f"{tuple(logits.shape)}"
        )
    (exact,) = at_least_float32(logits)
    aims = labels.view_as(logits).to(exact)
    loss = functional.mse_loss if problem == "regression" else functional.binary_cross_entropy_with_logits
    return (
        loss(exact, aims) if items is None else loss(exact, aims, reduction="sum") / (items * logits.shape[1])
    )


class SpinodalForMaskedLM(SpinodalPreTrainedModel):
    """Logits over the vocabulary at every position, the embedding tied to the output by default.

    >>> import torch
    >>> from spinodal.models import SpinodalConfig, SpinodalForMaskedLM
    >>> config = SpinodalConfig(vocab_size=50, width=16, depth=2, heads=2)
    >>> model = SpinodalForMaskedLM(config).eval()
    >>> list(model(input_ids=torch.tensor([[5, 6, 7]])).logits.shape)
    [1, 3, 50]
    """

    _tied_weights_keys = {"decoder.weight": "model.embedding.weight"}

    def __init__(self, config: SpinodalConfig):
        super().__init__(config)
        self.model = SpinodalModel(config)
        self.decoder = nn.Linear(config.width, config.vocab_size)
        self.post_init()

    @staticmethod
    def targets(labels: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
        """The labels that are predicted: all of them."""
        return labels

    def get_output_embeddings(self) -> nn.Linear:
        return self.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear):
        self.decoder = new_embeddings

    @can_return_tuple
    def forward(
        self,
        input_ids: Int[Tensor, "b n"] | None = None,
        attention_mask: Tensor | None = None,
        labels: Int[Tensor, "b n"] | None = None,
        *,
        scored_only: bool = False,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs,
    ) -> TaskOutput:
        """Cross entropy over the positions whose label is not -100.

        `scored_only` forms logits [k v] at those k positions alone: with 15% of them masked,
        the largest matrix of a small model shrinks sevenfold.
        """
        out = self.model(input_ids, attention_mask, **kwargs)
        hidden = out.last_hidden_state
        if scored_only and labels is not None:
            chosen = labels != IGNORED
            hidden, labels = hidden[chosen], labels[chosen]
        logits = self.decoder(hidden)
        loss = None
        if labels is not None:
            loss = cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), num_items_in_batch)
        return TaskOutput(loss, logits, out.hidden_states, out.residuals)


class SpinodalForSequenceClassification(SpinodalPreTrainedModel):
    """Logits of `num_labels` labels for each sequence, linear in the mean of its valid tokens."""

    def __init__(self, config: SpinodalConfig):
        super().__init__(config)
        self.model = SpinodalModel(config)
        self.score = nn.Linear(config.width, label_count(config))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Int[Tensor, "b n"] | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs,
    ) -> TaskOutput:
        """Logits [b k] and, given labels, their `classification_loss`."""
        out = self.model(input_ids, attention_mask, **kwargs)
        tokens = out.last_hidden_state
        valid = validity(attention_mask, tokens)
        if valid is None:
            mean = tokens.mean(1)
        else:
            mean = (tokens * valid[..., None]).sum(1) / valid.sum(1, keepdim=True).clamp(min=1)
        logits = self.score(mean)
        loss = (
            None if labels is None else classification_loss(logits, labels, self.config, num_items_in_batch)
        )
        return TaskOutput(loss, logits, out.hidden_states, out.residuals)


class SpinodalForTokenClassification(SpinodalPreTrainedModel):
    """Logits of `num_labels` labels for each token."""

    def __init__(self, config: SpinodalConfig):
        super().__init__(config)
        self.model = SpinodalModel(config)
        self.score = nn.Linear(config.width, label_count(config, one_of_them=True))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Int[Tensor, "b n"] | None = None,
        attention_mask: Tensor | None = None,
        labels: Int[Tensor, "b n"] | None = None,
        *,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs,
    ) -> TaskOutput:
        """Cross entropy over the positions whose label is not -100."""
        out = self.model(input_ids, attention_mask, **kwargs)
        logits = self.score(out.last_hidden_state)
        loss = None
        if labels is not None:
            loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), num_items_in_batch)
        return TaskOutput(loss, logits, out.hidden_states, out.residuals)


@dataclass
class SpanOutput(ModelOutput):
    """Loss (given both ends), and logits of where an answer begins and ends."""

    loss: Float[Tensor, ""] | None = None
    start_logits: Float[Tensor, "b n"] | None = None
    end_logits: Float[Tensor, "b n"] | None = None
    hidden_states: tuple[Float[Tensor, "b n d"] | None, ...] | None = None
    residuals: dict[str, Float[Tensor, ""]] | None = None


class SpinodalForQuestionAnswering(SpinodalPreTrainedModel):
    """Where in a text the answer to a question begins and ends: two distributions over its tokens."""

    def __init__(self, config: SpinodalConfig):
        super().__init__(config)
        self.model = SpinodalModel(config)
        self.ends = nn.Linear(config.width, 2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Int[Tensor, "b n"] | None = None,
        attention_mask: Tensor | None = None,
        start_positions: Int[Tensor, " b"] | None = None,
        end_positions: Int[Tensor, " b"] | None = None,
        *,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs,
    ) -> SpanOutput:
        """The mean cross entropy of both ends; a position outside the text counts for nothing."""
        out = self.model(input_ids, attention_mask, **kwargs)
        start, end = self.ends(out.last_hidden_state).unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            places = torch.stack([start_positions.flatten(), end_positions.flatten()])
            places = places.masked_fill((places < 0) | (places >= start.shape[1]), IGNORED)
            first, last = (
                cross_entropy(logits, place, num_items_in_batch)
                for logits, place in zip((start, end), places, strict=True)
            )
            loss = 0.5 * (first + last)
        return SpanOutput(loss, start, end, out.hidden_states, out.residuals)
