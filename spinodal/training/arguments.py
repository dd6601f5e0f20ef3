"""The schedule of an experiment as the TrainingArguments of Hugging Face's Trainer."""

from pathlib import Path

import torch
from transformers import TrainingArguments

from spinodal.training.experiment import Experiment
from spinodal.training.processes import on_processor, process_count
from spinodal.training.schedule import FALLS

DECAYS = {
    "cosine": "cosine",
    "constant": "constant_with_warmup",
    "warm-stable-decay": "warmup_stable_decay",
    "plateau-decay": "warmup_stable_decay",
}


def arguments(experiment: Experiment, out: Path) -> TrainingArguments:
    """TrainingArguments of an experiment: its schedule, checkpoints below `out`, NaN logged as NaN."""
    s = experiment.schedule
    fall = {"num_decay_steps": s.steps - s.stable_until} if s.decay in FALLS else {}
    shape = {"decay_type": "linear"} if s.decay == "plateau-decay" else {}
    return TrainingArguments(
        output_dir=str(out / "checkpoints"),
        max_steps=s.steps,
        per_device_train_batch_size=s.batch,
        per_device_eval_batch_size=4 * s.batch,
        gradient_accumulation_steps=s.accumulate,
        learning_rate=s.lr,
        warmup_steps=s.warmup_steps,
        lr_scheduler_type=DECAYS[s.decay],
        lr_scheduler_kwargs=fall | shape,
        weight_decay=s.weight_decay,
        adam_beta2=0.98,
        max_grad_norm=s.clip,
        logging_steps=s.log_every,
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=s.evaluate_every,
        save_steps=s.save_every,
        use_cpu=on_processor() or (s.precision == "bf16" and not torch.accelerator.is_available()),
        ddp_find_unused_parameters=True if process_count() > 1 else None,
        bf16=s.precision == "bf16",
        dataloader_num_workers=s.workers,
        dataloader_persistent_workers=s.workers > 0,
        optim=s.optimizer if s.optimizer in ("adafactor", "sgd") else TrainingArguments.default_optim,
        seed=s.seed,
        data_seed=s.seed,
        remove_unused_columns=False,
        dataloader_drop_last=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        disable_tqdm=True,
    )
