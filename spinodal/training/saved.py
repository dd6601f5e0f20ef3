"""The saved model of a run: it is written, checked for damage, and rebuilt from the last checkpoint."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from spinodal.errors import InputError
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.runs import Run, RunFolder, SaveError
from spinodal.runs.checkpoints import kept_checkpoint, step_of
from spinodal.training.experiment import Experiment
from spinodal.training.sharding import full_weights, is_sharded, own_weights


def save_model(
    folder: RunFolder, model: SpinodalPreTrainedModel, tokenizer: PreTrainedTokenizerBase | None
) -> None:
    """Writes the model's folder; called before the record, so that a finished run always has its model."""
    try:
        with folder.replacing("model") as part:
            model.save_pretrained(part)
            if tokenizer:
                tokenizer.save_pretrained(part)
    except (OSError, RuntimeError) as error:
        left = "its checkpoints are kept" if kept_checkpoint(folder.path) else "no checkpoint was written"
        raise SaveError(f"{folder.path} could not be written ({error}); {left}") from error


def model_damage(run: Run) -> str | None:
    """A text that says what is wrong with a finished run's files, by their checksums; None if nothing is.

    Runs of earlier versions have no checksums: of these the model must have its configuration and whole weights.
    """
    if "files" in run.record:
        return run.damage()
    weights = sorted((run.folder / "model").glob("*.safetensors"))
    if not (run.folder / "model" / "config.json").is_file() or not weights:
        return "model/ is missing, or lacks config.json or weights"
    return next((f"model/{path.name} is damaged" for path in weights if not opens(path)), None)


def opens(weights: Path) -> bool:
    """Whether a safetensors file can be opened: its header is whole, and the file as long as it says."""
    try:
        with safe_open(weights, framework="pt"):
            return True
    except (SafetensorError, OSError):
        return False


def rebuild_model(
    folder: RunFolder,
    experiment: Experiment,
    tokenizer: Callable[[], PreTrainedTokenizerBase | None],
    *,
    damage: str,
    step: int,
) -> None:
    """Writes the model of a finished run again, from the checkpoint of its last step; a warning says why.

    InputError where that checkpoint is not whole, or not there.
    """
    checkpoint = kept_checkpoint(folder.path)
    if checkpoint is None or step_of(checkpoint) != step:
        raise InputError(
            f"{folder.path} holds a finished run, but {damage}, and there is no whole checkpoint of its last step "
            f"{step} to write the model again from: `overwrite` trains it again",
            field="overwrite",
        )
    warnings.warn(f"{folder.path}: {damage}: the model is written again from {checkpoint}", stacklevel=4)
    model = saved_model(experiment, checkpoint)
    save_model(folder, model, tokenizer())


def saved_model(experiment: Experiment, checkpoint: Path) -> SpinodalPreTrainedModel:
    """The model of a checkpoint, which one process or several wrote."""
    kind = experiment.kind
    if not is_sharded(checkpoint):
        return kind.from_pretrained(checkpoint)
    return model_of_weights(experiment, SpinodalConfig.from_pretrained(checkpoint), full_weights(checkpoint))


def model_of_weights(
    experiment: Experiment, config: SpinodalConfig, weights: Mapping[str, Tensor]
) -> SpinodalPreTrainedModel:
    """The model of an experiment with these weights; of tied weights, one name is enough.

    InputError where one is missing.
    """
    model = experiment.kind(config)
    if lacking := own_weights(model).keys() - weights.keys():
        raise InputError(
            f"the checkpoint has no {min(lacking)}, which the model of this version has: `overwrite` trains it again",
            field="overwrite",
        )
    model.load_state_dict(weights, strict=False)
    return model
