"""Priorities, exploration and slates: from propensities to a probability mass function, from that to what is offered."""
