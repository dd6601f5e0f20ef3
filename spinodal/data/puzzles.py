"""Puzzles whose answer is what was read, in another order: they cannot be solved without addressing
a token by its place (`reversals`) or by its content (`sortings`). Pair i is drawn by (seed, i).
"""

from spinodal.data.pairs import Pairs, pairs_from_rows
from spinodal.data.samples import generator, refuse_seed
from spinodal.errors import InputError

_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"


def reversals(count: int = 20_000, *, longest: int = 16, seed: int = 0) -> Pairs:
    """Pairs of random letters and the same backwards, ("abcde", "edcba"): 4 to `longest`, every length as likely."""
    _refuse(count, "longest", longest, least=4, seed=seed)
    rows = []
    for index in range(count):
        random = generator(seed, 0, index)
        letters = random.integers(26, size=random.integers(4, longest + 1))
        text = "".join(chr(ord("a") + letter) for letter in letters)
        rows.append((text, text[::-1]))
    return pairs_from_rows("reverse", rows)


def sortings(count: int = 20_000, *, most: int = 6, seed: int = 0) -> Pairs:
    """("tu bamo", "bamo tu"): from 2 to `most` made-up words of one to three syllables, sorted."""
    _refuse(count, "most", most, least=2, seed=seed)
    rows = []
    for index in range(count):
        random = generator(seed, 0, index)
        words = []
        for _ in range(random.integers(2, most + 1)):
            syllables = random.integers([len(_CONSONANTS), len(_VOWELS)], size=(random.integers(1, 4), 2))
            words.append("".join(_CONSONANTS[c] + _VOWELS[v] for c, v in syllables))
        rows.append((" ".join(words), " ".join(sorted(words))))
    return pairs_from_rows("sort", rows)


def _refuse(count: int, name: str, value: int, *, least: int, seed: int) -> None:
    refuse_seed(seed)
    if count < 1:
        raise InputError(f"{count} puzzles: it takes at least 1")
    if value < least:
        raise InputError(f"{name}={value}: it takes at least {least}")
