"""What is kept of the likeliest tokens at each place: two numbers, so that little leaves the engine's process."""

import numpy as np
import numpy.typing as npt

TOP_LOGPROBS = 20  # of DeepConf (arXiv 2508.15260); also the most that vLLM gives unless told otherwise
DIGITS = 6


def token_signals(top: npt.NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """The confidence and the entropy at each place, from log-probabilities of its likeliest tokens.

    `top` is places × tokens, -inf where the vocabulary has no more tokens. Confidence is the mean negative
    log-probability, from 0 upward; entropy is that of the distribution over these tokens alone, in nats, from 0 to the
    logarithm of their number. Both have six significant digits.
    """
    present = np.isfinite(top)
    logprobs = np.where(present, top, 0.0)
    shares = np.where(present, np.exp(logprobs), 0.0)
    totals = shares.sum(axis=1)
    confidences = -logprobs.sum(axis=1) / present.sum(axis=1)
    entropies = np.log(totals) - (shares * logprobs).sum(axis=1) / totals
    return _rounded(confidences), _rounded(np.maximum(entropies, 0.0))


def _rounded(values: npt.NDArray[np.float64]) -> list[float]:
    scales = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.maximum(np.abs(values), 1e-30))))
    rounded: list[float] = (np.round(values * scales) / scales).tolist()
    return rounded
