"""The slow twin of models/recalibration.py: one model, plain numbers, the sums written out."""

from __future__ import annotations

from math import exp, log

DECAY = 0.5 ** (1 / 2_000)


class Recalibration:
    """Learns (action, propensity expected, reward), corrects (action, propensity); everything before is kept and summed up anew each time."""

    def __init__(self):
        self.seen = []  # (action, logit, information, gradient about 0) of level, the same of slope

    def mean(self, what, prior):
        aged = [(DECAY ** (len(self.seen) - 1 - i), one[what]) for i, one in enumerate(self.seen)]
        return sum(w * pull for w, (_, pull) in aged) / (prior + sum(w * information for w, (information, _) in aged))

    def from_centre(self, action, logit):
        if not self.seen:
            return 0.0
        ages = range(len(self.seen) - 1, -1, -1)
        of_all = sum(DECAY**k * one["logit"] for k, one in zip(ages, self.seen)) / sum(DECAY**k for k in ages)
        own = [one["logit"] for one in self.seen if one["action"] == action]
        weights = [DECAY**k for k in range(len(own) - 1, -1, -1)]
        return logit - (sum(w * x for w, x in zip(weights, own)) + 10 * of_all) / (sum(weights) + 10)

    def parts(self, action, p):
        logit = log(p / (1 - p))
        return logit, self.from_centre(action, logit), self.mean("level", 1 / 0.05), self.mean("slope", 1 / 0.1)

    def correct(self, action, p):
        logit, x, level, slope = self.parts(action, p)
        return 1 / (1 + exp(-(logit + level + max(slope, -0.9) * x)))

    def learn(self, action, p, reward):
        logit, x, level, slope = self.parts(action, p)
        corrected = self.correct(action, p)
        x = min(max(x, -3), 3)
        spread = corrected * (1 - corrected)
        self.seen.append({"action": action, "logit": logit, "level": (spread, spread * level + reward - corrected),
                          "slope": (spread * x * x, spread * x * x * slope + x * (reward - corrected))})
