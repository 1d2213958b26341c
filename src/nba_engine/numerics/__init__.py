"""Plain arithmetic shared by the kernels: random numbers, bitsets, the normal distribution. Knows nothing of offers."""
