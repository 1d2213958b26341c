"""Propensity models: the contract (contract.py), one file per model, and the integer sums behind Gaussian beliefs (posterior.py)."""
