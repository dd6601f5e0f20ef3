"""Sounds of files and both transcripts of each, by a small Whisper with a tokenizer of its own."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import spinodal
from scipy.io import wavfile
from small_models import small
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor

from spinodal import figures, runs
from spinodal.data import read_prompts
from spinodal.errors import InputError
from spinodal.report.shortening import transcription_page
from spinodal.runs import read_run
from spinodal.shorten import (
    Transcription,
    TranscriptionResult,
    open_recogniser,
    recognise,
    shortened,
    transcribe,
    word_difference,
    words,
)
from spinodal.shorten.speech import merged_times

MARKS = ("<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>")
WORDS = [f"w{i}" for i in range(30)]
RATE = 16_000


def saved_whisper(place: Path, *, mute: bool = False) -> Path:
    """A small Whisper as `save_pretrained` writes it, which reads 30 s; one that is `mute` ends at once.

    The other has no marks of times, with which random weights would read a sound in very small steps.
    """
    names = [*WORDS, "<|endoftext|>", *MARKS, *(f"<|{i / 50:.2f}|>" for i in range(23) if mute)]
    model: Any = small(
        "WhisperForConditionalGeneration", max_source_positions=1500, vocab_size=len(names), eos_token_id=30,
        pad_token_id=30, bos_token_id=30, decoder_start_token_id=31, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model.generation_config.suppress_tokens = model.generation_config.begin_suppress_tokens = None
    model.generation_config.max_length = 12
    if mute:
        model.model.decoder.layer_norm.weight.data.zero_()
        model.model.decoder.layer_norm.bias.data.fill_(100.0)
        model.proj_out.weight.data[30] = 1.0
    model.save_pretrained(place)
    WhisperFeatureExtractor(feature_size=8).save_pretrained(place)
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    fast.add_special_tokens({"additional_special_tokens": list(MARKS)})
    fast.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_whisper(tmp_path_factory.mktemp("whisper"))


def wave(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * rate))


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> str:
    wavfile.write(path, rate, samples)
    return str(path)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sounds of different forms, and a file that is none."""
    place = tmp_path_factory.mktemp("sounds")
    write(place / "a.wav", (wave(1.0) * 2**15).astype(np.int16))
    write(place / "b.WAV", np.stack([wave(1.5, 1, 8000), wave(1.5, 2, 8000)], 1).astype(np.float32), 8000)
    (place / "notes.txt").write_text("no sound")
    return place


def test_both_transcripts_of_a_folder(folder: Path, sounds: Path):
    told: list[tuple[float, float]] = []
    asked = Transcription(str(folder), (str(sounds),), language="en")
    found = transcribe(asked, progress=lambda done, of: told.append((done, of)))
    assert told == [(i, 4) for i in range(1, 5)]
    assert [(one.name, one.seconds, one.tokens) for one in found.sounds] == [
        ("a.wav", 1.0, 1500),
        ("b.WAV", 1.5, 1500),
    ]
    assert all(one.kept < 300 for one in found.sounds)
    [(start, end)] = found.sounds[0].merged
    assert 1.5 < start < 2.0
    assert 29.9 < end < 30.0
    assert (found.size, found.margin, found.tried) == (8, 32, ())
    assert "of 3,000 tokens" in found.summary


def test_a_language_that_is_detected_is_read_in_a_window_that_does_not_count(folder: Path, sounds: Path):
    found = transcribe(Transcription(str(folder), (str(sounds / "a.wav"),)))
    assert found.sounds[0].tokens == 1500


def test_a_long_sound_is_read_window_by_window(tmp_path: Path):
    folder = saved_whisper(tmp_path / "whisper", mute=True)
    long = np.concatenate([wave(1.0), np.zeros(30 * RATE), wave(1.0)])
    name = write(tmp_path / "long.wav", long.astype(np.float32))
    with pytest.raises(InputError, match=r"is 32\.0 s long, and Whisper reads 30 s at a time: `windows`"):
        transcribe(Transcription(str(folder), (name,)))
    [one] = transcribe(Transcription(str(folder), (name,), language="en", windows=True)).sounds
    assert (one.tokens, one.merged, one.short) == (3000, (), one.full)


@pytest.mark.slow
def test_the_largest_size_within_the_tolerance_is_searched(folder: Path, sounds: Path):
    found = transcribe(Transcription(str(folder), (str(sounds),), language="en", tolerance=0.0))
    sizes = [trial.size for trial in found.tried]
    assert sizes == [64, 32, 16, 8, 4, 2, 1][: len(sizes)]
    assert found.size == sizes[-1]
    assert found.word_difference == found.tried[-1].word_difference == 0
    assert all(trial.word_difference > 0 for trial in found.tried[:-1])
    told: list[tuple[float, float]] = []
    asked = Transcription(str(folder), (str(sounds),), language="en", tolerance=1.0, margin=256)
    loose = transcribe(asked, progress=lambda done, of: told.append((done, of)))
    assert (loose.size, loose.margin) == (64, 256)
    assert told[-1] == (16, 16)
    assert [trial.margin for trial in found.tried] == [0 if size == 1 else 32 for size in sizes]


def test_a_run_is_written_read_and_shown(
    folder: Path,
    sounds: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    out = tmp_path / "run"
    asked = ["shorten", folder, "--sound", sounds, "--language", "en", "--size", 4]
    assert not spinodal(monkeypatch, *asked, "--tolerance", "1", "--out", out)
    said = capsys.readouterr().out
    assert "a.wav" in said
    assert "size 64, margin 32: " in said
    assert f"report: {out}/report.html" in said
    run = read_run(out)
    assert run.kind == "shorten"
    found = run.result_as(TranscriptionResult)
    assert [one.name for one in found.sounds] == ["a.wav", "b.WAV"]
    assert runs.read(out) == found
    with pytest.raises(InputError, match="a run of shorten, which has no picture; these have: simulate"):
        figures.draw(run)
    page = (out / "report.html").read_text()
    assert page == transcription_page(found)
    assert page.count('class="tokens"') == 2
    assert "http" not in page
    assert spinodal(monkeypatch, *asked, "--out", out) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert not spinodal(monkeypatch, *asked, "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["size"] == 4
    assert printed["sounds"][0]["tokens"] == 1500


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ([], "nothing to hear: give --sound FILE or FOLDER"),
        (["--sound", ""], "nothing to hear: give --sound FILE or FOLDER"),
        (["--sound", "SOUND", "--size", "0"], "--size 0: must be at least 1"),
        (["--sound", "SOUND", "--size", "300"], "--size 300: must be from 1 to 256"),
        (["--sound", "SOUND", "--margin", "-1"], "--margin -1: must be >= 0"),
        (["--sound", "SOUND", "--tolerance", "2"], "--tolerance 2: a share from 0 to 1"),
        (["--sound", "SOUND", "--language", "xx"], "--language 'xx': one of de, en"),
        (["--sound", "TEXT"], "notes.txt is no .wav file"),
        (["--sound", "nowhere.wav"], "nowhere.wav is no .wav file"),
        (["--sound", "BROKEN"], "broken.wav is no .wav file"),
        (["--sound", "EMPTY"], "empty.wav holds no sound: it is empty"),
        (["--sound", "NAN"], "nan.wav: a sample of its sound is not finite"),
        (["--sound", "FOLDER"], "there is no file of sound in it"),
        (["--sound", "LONG"], "is 31.0 s long, and Whisper reads 30 s at a time: --windows"),
    ],
)
def test_what_is_refused(
    options: list[str], match: str, folder: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    places = {
        "SOUND": str(sounds / "a.wav"),
        "TEXT": str(sounds / "notes.txt"),
        "EMPTY": write(tmp_path / "empty.wav", np.zeros(0, np.int16)),
        "NAN": write(tmp_path / "nan.wav", np.full(9, np.nan, np.float32)),
        "LONG": write(tmp_path / "long.wav", np.zeros(31 * RATE, np.int16)),
        "BROKEN": str(tmp_path / "broken.wav"),
        "FOLDER": str(tmp_path / "none"),
    }
    (tmp_path / "none").mkdir()
    (tmp_path / "broken.wav").write_bytes((sounds / "a.wav").read_bytes()[:30])
    assert spinodal(monkeypatch, "shorten", folder, *(places.get(o, o) for o in options)) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert match in said
    assert said.count("error:") == 1


def test_models_that_are_refused(tmp_path: Path, sounds: Path, monkeypatch: pytest.MonkeyPatch):
    small("BertForMaskedLM").save_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match="bert is a BertForMaskedLM: silence is merged for Whisper"):
        open_recogniser(str(tmp_path / "bert"))
    with pytest.raises(InputError, match=r"there is no folder \./nowhere"):
        open_recogniser("./nowhere")
    bands = saved_whisper(tmp_path / "bands")
    WhisperFeatureExtractor(feature_size=16).save_pretrained(bands)
    with pytest.raises(InputError, match="bands reads 8 mel bands, and its features have 16"):
        open_recogniser(str(bands))
    marks = saved_whisper(tmp_path / "marks")
    words = Tokenizer(models.WordLevel({"w0": 0}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(marks)
    with pytest.raises(InputError, match=r"marks has no <\|startoftranscript\|>, .*: it is none of Whisper"):
        open_recogniser(str(marks))


def test_sounds_that_are_refused(folder: Path):
    whisper, long = open_recogniser(str(folder)), np.zeros(31 * RATE)
    for samples, match in (
        (np.zeros(0), "the sound is empty"),
        (np.zeros((2, 9)), r"the sound is float64 \(2, 9\): one channel is needed"),
        (np.zeros(9, np.int16), "the sound is int16"),
        (np.full(9, np.inf), "a sample of the sound is not finite"),
    ):
        with pytest.raises(InputError, match=match):
            recognise(whisper, samples)
    with pytest.raises(InputError, match="this model writes no times to read windows by"):
        recognise(whisper, long, windows=True)


def test_damaged_sounds_are_refused(sounds: Path, tmp_path: Path):
    from spinodal.watch import sound_of

    whole = (sounds / "a.wav").read_bytes()
    for damaged in (whole[:30], whole[:36]):  # cut, no data
        (tmp_path / "a.wav").write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.wav (is no \.wav file|holds no sound)"):
            sound_of(tmp_path / "a.wav")


def test_other_files_of_sound_are_read_with_soundfile(tmp_path: Path):
    import soundfile

    from spinodal.watch import sound_of

    x = wave(0.5, rate=RATE)
    for name, kind in {"a.flac": "PCM_16", "a.wav": "ULAW", "b.wav": "IMA_ADPCM", "c.wav": "PCM_24"}.items():
        soundfile.write(tmp_path / name, np.stack([x, x], 1), RATE, subtype=kind)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.abs(sound_of(tmp_path / name)[:7500] - x[:7500]).mean() < 0.05


def test_words_and_their_differences():
    assert words("Don't stop, 3 O’Clock!") == ["don't", "stop", "3", "o’clock"]
    assert word_difference(["a b c"], ["a x c d"]) == 2 / 3
    assert word_difference(["a b", "c d"], ["A, b!", "c"]) == 0.25
    assert word_difference([""], [""]) == 0


def test_spans_of_merged_tokens_are_joined():
    assert merged_times([1] * 500 + [2] * 100 + [1] * 300 + [250, 250]) == ((10.0, 14.0), (20.0, 30.0))


@pytest.fixture(scope="module")
def prompts() -> tuple[Any, ...]:
    try:
        return read_prompts()
    except InputError as error:
        pytest.skip(f"recorded speech is not at hand: {error}")


@pytest.mark.slow
def test_recorded_speech_has_its_words(prompts: tuple[Any, ...]):
    assert len(prompts) > 150
    assert all(1 <= prompt.seconds <= 29 and len(prompt.words.split()) >= 3 for prompt in prompts)
    assert all(np.abs(prompt.samples).max() <= 1.2 for prompt in prompts)


@pytest.mark.slow
def test_a_trained_whisper_writes_the_same_words(prompts: tuple[Any, ...]):
    whisper = open_recogniser("whisper-base")
    chosen, same, tokens, kept = prompts[:: len(prompts) // 6][:6], 0, 0, 0
    for prompt in chosen:
        full = recognise(whisper, prompt.samples, language="en")
        with shortened(whisper.model) as report:
            same += recognise(whisper, prompt.samples, language="en") == full
        tokens, kept = tokens + report.tokens, kept + report.kept
    assert tokens > 2 * kept
    assert same >= len(chosen) - 1
