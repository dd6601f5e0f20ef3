r"""Baselines of a translator that translate nothing: a copy of the source, and the nearest pair that it was trained on.

    near(s) = argmax_t <w(s), w(t)>,   w(s)_i proportional to n_i log(N / N_i), |w| = 1

over the training sources t: n_i counts word i in s, and N_i of the N training sources hold it. A source is far from all
of them where that cosine is below one half; words that none of them has count for the length alone.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64
from scipy import sparse

from spinodal.data import Pairs
from spinodal.scores import bleu, written_language

FAR = 0.5
AT_ONCE = 256  # sources that are compared together


def nearest_sources(
    training: Sequence[str], sources: Sequence[str]
) -> tuple[Int64[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """(index of the nearest training source, its cosine) of each of k sources."""
    words: dict[str, int] = {}
    counts = [word_counts(texts, words) for texts in (training, sources)]  # later ones may have more columns
    for table in counts:
        table.resize(len(table.indptr) - 1, len(words))
    held = np.bincount(counts[0].indices, minlength=len(words))
    weights = np.log((1 + len(training)) / (1 + held))
    known, asked = (unit_rows(table, weights) for table in counts)
    index, cosine = np.zeros(len(sources), dtype=np.int64), np.zeros(len(sources))
    for start in range(0, len(sources), AT_ONCE):
        found = (asked[start : start + AT_ONCE] @ known.T).toarray()
        index[start : start + AT_ONCE], cosine[start : start + AT_ONCE] = found.argmax(1), found.max(1)
    return index, cosine


def word_counts(texts: Sequence[str], words: dict[str, int]) -> sparse.csr_matrix:
    """Counts [text, word], case folded; words that are new get the next columns."""
    rows, columns = [], []
    for row, text in enumerate(texts):
        for word in text.casefold().split():
            rows.append(row)
            columns.append(words.setdefault(word, len(words)))
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), (len(texts), len(words)))


def unit_rows(counts: sparse.csr_matrix, weights: Float[np.ndarray, " k"]) -> sparse.csr_matrix:
    """Rows of counts times weights, of length one."""
    weighted = counts.multiply(weights).tocsr()
    lengths = np.sqrt(weighted.multiply(weighted).sum(1)).A1
    return sparse.diags(1 / np.maximum(lengths, 1e-300)) @ weighted


def nearest_scores(
    hypotheses: Sequence[str], sources: Sequence[str], targets: Sequence[str], training: Pairs
) -> dict[str, float]:
    """BLEU of copies and of the nearest pairs, and the same of the model and the nearest for sources that are far."""
    index, cosine = nearest_sources(training.sources, sources)
    nearest, language = [training.targets[i] for i in index], written_language(targets[:8])
    far = np.flatnonzero(cosine < FAR)

    def score(texts: Sequence[str], chosen: Sequence[int]) -> float:
        return bleu([texts[i] for i in chosen], [targets[i] for i in chosen], language=language).value

    every = range(len(targets))
    found = {"copied_bleu": score(sources, every), "nearest_bleu": score(nearest, every)}
    found["far_share"] = len(far) / len(targets)
    if len(far):
        found |= {
            "far_bleu": score(hypotheses, far.tolist()),
            "far_nearest_bleu": score(nearest, far.tolist()),
        }
    return found
