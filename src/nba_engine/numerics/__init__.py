"""How functions are compiled, and the arithmetic that kernels share: random numbers, bitsets, the normal distribution. Knows nothing of offers."""
