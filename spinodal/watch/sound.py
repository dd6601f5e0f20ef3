"""Sound files as inputs of speech models: their features, masks, and the ids that their decoders read."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.io import wavfile
from scipy.signal import resample_poly

from spinodal.errors import InputError
from spinodal.watch.subject import Inputs, Subject, has_head

RATE = 16_000  # numbers a second
WHISPER_START = "<|startoftranscript|><|en|><|transcribe|><|notimestamps|>"


def sound_of(path: Path) -> Float[np.ndarray, " t"]:
    """The sound of a .wav file as one channel of 16,000 numbers a second in [-1, 1].

    With soundfile (`pip install "spinodal[sound]"`) of any file that it reads: FLAC, Ogg, .wav that is compressed.
    InputError for another file, and for a sound that is empty or not finite.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # parts of a file that are no sound
            rate, samples = wavfile.read(path)
    except (OSError, ValueError) as error:
        rate, samples = _other_sound(path, error)
    except Exception:  # a damaged header makes the reader raise nearly anything
        rate, samples = _other_sound(path, ValueError("its header is damaged"))
    if samples.dtype == np.uint8:  # 8 bits have no sign in these files: silence is 128
        samples = (samples.astype(np.int16) - 128) * 256
    scale = np.iinfo(samples.dtype).max if np.issubdtype(samples.dtype, np.integer) else 1.0
    if not samples.size:
        raise InputError(f"{path} holds no sound: it is empty")
    mono = samples.reshape(len(samples), -1).mean(1) / scale
    if not np.isfinite(mono).all():
        raise InputError(f"{path}: a sample of its sound is not finite")
    return resample_poly(mono, RATE, rate) if rate != RATE else mono


def _other_sound(path: Path, error: Exception) -> tuple[int, np.ndarray]:
    """(samples a second, samples) by soundfile; InputError, with why it is no .wav file, where that reads none."""
    reason = f"{path} is no .wav file: {error}"
    try:
        import soundfile
    except ImportError:
        hint = 'other files of sound are read with soundfile: pip install "spinodal[sound]"'
        raise InputError(f"{reason}; {hint}" if path.is_file() else reason) from error
    try:
        samples, rate = soundfile.read(path)
    except (OSError, ValueError, RuntimeError):
        raise InputError(reason) from error
    return rate, samples


@torch.no_grad()
def sound_batches(
    subject: Subject, waves: Sequence[Float[np.ndarray, " t"]], features: Any, *, most: int = 64
) -> list[Inputs]:
    """One batch for each recording (16 kHz, mono): its features, their mask, and the ids of a decoder.

    The decoder reads the model's own greedy transcription, of at most `most` tokens; without a decoder there
    are no ids. InputError where the features are not those that the model reads, and for a decoder without a
    tokenizer.
    """
    return [_heard(subject, wave, features, most) for wave in waves]


def _heard(subject: Subject, wave: Float[np.ndarray, " t"], features: Any, most: int) -> Inputs:
    model: Any = subject.model
    rate = getattr(features, "sampling_rate", RATE)
    made = features(
        resample_poly(wave, rate, RATE) if rate != RATE else wave,
        sampling_rate=rate, return_tensors="pt", return_attention_mask=True,
    )  # fmt: skip
    name = model.main_input_name
    if name not in made:
        raise InputError(f"{subject.name} reads {name}, and its features are {', '.join(made)}: no sound")
    inputs = {key: made[key] for key in (name, "attention_mask") if key in made}
    if not getattr(subject.config, "is_encoder_decoder", False):
        return inputs
    ids = _start(subject)
    if not has_head(subject):
        return inputs | {"decoder_input_ids": ids}
    encoded = model.get_encoder()(inputs[name])
    for _ in range(most):
        following = int(model(encoder_outputs=encoded, decoder_input_ids=ids).logits[0, -1].argmax())
        if following == subject.tokenizer.eos_token_id:
            break
        ids = torch.cat([ids, torch.tensor([[following]])], dim=1)
    return inputs | {"decoder_input_ids": ids}


def _start(subject: Subject) -> torch.Tensor:
    """The ids [1 k] that a decoder starts from: Whisper's task and language tokens, or the start token."""
    if subject.tokenizer is None:
        raise InputError(f"{subject.name} has a decoder and no tokenizer: it writes no words to read")
    if subject.config.model_type == "whisper":
        return torch.tensor([subject.tokenizer(WHISPER_START, add_special_tokens=False)["input_ids"]])
    return torch.tensor([[subject.config.decoder_start_token_id]])
