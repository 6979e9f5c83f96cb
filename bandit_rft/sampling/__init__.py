"""Beta and Gamma draws, exact in law and quick on a CPU inside `jit`, `vmap` and `scan`.

JAX's own run one rejection loop an element, one element after another on a CPU. Here every element makes one proposal
in a few fused, vectorised passes; the few per cent that are refused are gathered into a small buffer and tried again
there, and so on until none is left: nothing is ever dropped, so the law is that of the rejection method.

What makes it quick, measured on XLA's CPU backend (jaxlib 0.10): float64 log, sin and erf_inv are scalar calls of 7 to
20 ns there, so that logarithm, sine and cosine are polynomials here; and XLA evaluates a random word, or a quotient,
again in every fused loop that reads it, which `random_words` and `once` prevent.

Float64 only: use it under `jax.enable_x64`, as `bandit_rft.run` does.
"""

from bandit_rft.sampling.draws import first_minimum, log_gamma, log_minus_log_beta
from bandit_rft.sampling.words import threefry2x64

__all__ = ["first_minimum", "log_gamma", "log_minus_log_beta", "threefry2x64"]
