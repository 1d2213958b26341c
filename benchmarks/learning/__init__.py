"""How well the models learn: bandit problems made from real data, and a simulated world."""
