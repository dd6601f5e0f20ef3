r"""The encoder put to work: filling masks, classifying sequences and classifying tokens.

Each class adds one linear layer to `SpinodalModel` and returns `TaskOutput`. Keywords that a
task does not take go to the encoder (`attention_mask`, `inputs_embeds`, `output_hidden_states`,
`output_residuals`), which refuses those it does not know.
"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import ModelOutput
from transformers.utils.generic import can_return_tuple

from spinodal.errors import InputError
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.encoder import SpinodalModel, SpinodalPreTrainedModel, validity

IGNORED = -100  # the label of a position that counts for nothing


@dataclass
class TaskOutput(ModelOutput):
    """Loss (given labels) and logits of a task, with what the encoder returned beside them."""

    loss: Float[Tensor, ""] | None = None
    logits: Float[Tensor, "..."] | None = None
    hidden_states: tuple[Float[Tensor, "b n d"], ...] | None = None
    residuals: dict[str, Float[Tensor, ""]] | None = None


def cross_entropy(
    logits: Float[Tensor, "k v"], labels: Int[Tensor, " k"], items: Tensor | int | None
) -> Float[Tensor, ""]:
    """The mean of -log softmax(logits)[label], or its sum over `items` where a batch comes in parts."""
    if items is None:
        return functional.cross_entropy(logits, labels, ignore_index=IGNORED)
    return functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") / items


def classes(config: SpinodalConfig) -> int:
    """`num_labels`; InputError for a problem that is not a choice of one label among two or more."""
    labels = config.num_labels or 0
    if labels < 2 or config.problem_type not in (None, "single_label_classification"):
        raise InputError(
            f"num_labels={labels}, problem_type={config.problem_type}: classification here is a choice of "
            f"one label among two or more"
        )
    return labels


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
        labelled_only: bool = False,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs,
    ) -> TaskOutput:
        """Cross entropy over the positions whose label is not -100.

        `labelled_only` forms logits [k v] at those k positions alone: with 15% of them masked,
        the largest matrix of a small model shrinks sevenfold.
        """
        out = self.model(input_ids, attention_mask, **kwargs)
        hidden = out.last_hidden_state
        if labelled_only and labels is not None:
            chosen = labels != IGNORED
            hidden, labels = hidden[chosen], labels[chosen]
        logits = self.decoder(hidden)
        loss = None
        if labels is not None:
            loss = cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), num_items_in_batch)
        return TaskOutput(loss, logits, out.hidden_states, out.residuals)


class SpinodalForSequenceClassification(SpinodalPreTrainedModel):
    """One distribution over `num_labels` a sequence, read from the mean of its tokens."""

    def __init__(self, config: SpinodalConfig):
        super().__init__(config)
        self.model = SpinodalModel(config)
        self.score = nn.Linear(config.width, classes(config))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Int[Tensor, "b n"] | None = None,
        attention_mask: Tensor | None = None,
        labels: Int[Tensor, " b"] | None = None,
        *,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs,
    ) -> TaskOutput:
        """Cross entropy of the sequences' labels."""
        out = self.model(input_ids, attention_mask, **kwargs)
        tokens = out.last_hidden_state
        valid = validity(attention_mask, tokens)
        if valid is None:
            mean = tokens.mean(1)
        else:
            mean = (tokens * valid[..., None]).sum(1) / valid.sum(1, keepdim=True).clamp(min=1)
        logits = self.score(mean)
        loss = None if labels is None else cross_entropy(logits, labels, num_items_in_batch)
        return TaskOutput(loss, logits, out.hidden_states, out.residuals)


class SpinodalForTokenClassification(SpinodalPreTrainedModel):
    """One distribution over `num_labels` a token."""

    def __init__(self, config: SpinodalConfig):
        super().__init__(config)
        self.model = SpinodalModel(config)
        self.score = nn.Linear(config.width, classes(config))
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
