"""The samples and the model of an experiment, checked to fit together before the first step."""

import warnings

import torch
from torch import Tensor, nn
from transformers import set_seed

from spinodal.errors import InputError
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.training.constraints import Constraints
from spinodal.training.experiment import Experiment, model_config
from spinodal.training.foreign import check_logits, source_digest
from spinodal.training.prepared import PreparedData
from spinodal.training.processes import process_count
from spinodal.training.size import check_size
from spinodal.training.tasks import task_named

REACTIONS = {
    "stoichiometry",
    "constants",
}  # layers of a partition's network that its mixtures do not depend on


def step_samples(experiment: Experiment) -> int:
    """The number of samples of a step: batch x accumulate x processes."""
    return experiment.schedule.batch * experiment.schedule.accumulate * process_count()


def prepare_data(experiment: Experiment) -> PreparedData:
    """Samples and tokenizer of an experiment; InputError where they do not fill one step."""
    config, samples = experiment.data, step_samples(experiment)
    found = task_named(config.task).prepare(config, experiment.schedule.seed, samples)
    if experiment.network:
        found = found._replace(digests=found.digests | source_digest(experiment.network))
    if len(found.training) < samples:
        raise InputError(
            f"{config.corpus} gives {len(found.training)} samples of {found.tokens} tokens, less than one batch of "
            f"{samples}: lower batch, or take more text"
        )
    return found


def build_model(experiment: Experiment, data: PreparedData) -> SpinodalPreTrainedModel:
    """The model of an experiment with its initial weights, checked by a forward pass of one sample.

    InputError for a model that does not fit into memory, before it is built, and for a constraint on
    residuals that it does not report. Warns of parameters without a gradient, and of a block router that no
    constraint trains.
    """
    check_size(experiment, vocabulary=data.vocabulary)
    set_seed(experiment.schedule.seed)
    config = model_config(experiment, vocabulary=data.vocabulary)
    if data.tokenizer:
        for name in ("pad", "bos", "eos", "mask"):
            setattr(config, f"{name}_token_id", getattr(data.tokenizer, f"{name}_token_id"))
    model = experiment.kind(config)
    sample = {name: value[None] for name, value in data.held_out[0].items()}
    if experiment.network:
        with torch.no_grad():
            check_logits(model.eval(), sample["input_ids"])
    reactions = [p for name, p in model.named_parameters() if REACTIONS & set(name.split("."))]
    with torch.set_grad_enabled(bool(reactions)):
        out = model.eval()(**sample, output_residuals=True)
        constraints, residuals = Constraints(experiment.constraint), out.residuals or {}
        constrained = constraints.violations(residuals) if constraints.active else {}
        loss = out.loss + constraints.loss(residuals) if constraints.active else out.loss
    if reactions:
        warn_idle(reactions, loss)
    if "selection" in residuals and "selection" not in constrained:
        warnings.warn(
            "nothing teaches which blocks look at which: add method=penalty constrain=selection tolerance=0 rate=1",
            stacklevel=2,
        )
    return model


def warn_idle(parameters: list[nn.Parameter], loss: Tensor) -> None:
    """Warns of `parameters` without a gradient: reactions of a partition that no constraint holds."""
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    idle = sum(p.numel() for p, gradient in zip(parameters, gradients, strict=True) if gradient is None)
    if idle:
        warnings.warn(
            f"{idle:,} parameters learn nothing: the reactions of a pathway enter the loss by a constraint alone; add "
            f"method=augmented constrain=F,g1,g2, or take pathway=none",
            stacklevel=3,
        )
