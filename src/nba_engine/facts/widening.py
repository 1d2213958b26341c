"""More texts of a fact than it begins with features for: which fact needs them.

A text fact begins with features for the first texts of its vocabulary; all others are "other". Where enough outcomes came with texts that no
feature names, features for three times as many texts, the next of the vocabulary, are added behind all there are (features.py). Nothing is
renumbered; "other" is what is left. What was learned of the added texts as "other" stays there: their features begin at the prior.

Beliefs grow by features times entities, so a fact stops at `TEXTS_MAX` texts, and all facts stop where the tables would pass `CELLS_MAX` cells.
**Cost** counting O(active features) an outcome; a widening copies the beliefs' tables, at most twice a fact. Memory 4 bytes a feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import kernel

GROWTH = 4
"""How many times as many texts have features after a widening as before."""
TEXTS_MAX = 512
CELLS_MAX = 1 << 22
"""Features times entities up to which facts are widened: 84 MB of beliefs."""


class Unnamed:
    """Counts outcomes in which a text fact said a text that no feature names, since it was widened last.

    `names` : (fact, bin) of all features, the bin of a text that has one being `#` and its code; of none where no fact may be widened
    """

    def __init__(self, names: Sequence[tuple[str, str]]) -> None:
        self._facts = [fact for fact, bin_ in names if bin_ == "other"]
        self._counts = np.zeros(len(self._facts), np.int64)
        self.read(names)

    def read(self, names: Sequence[tuple[str, str]]) -> None:
        """Go on with these features, of the same facts."""
        place = {fact: k for k, fact in enumerate(self._facts)}
        self._widths, self._reads = np.zeros(len(self._facts), np.int64), np.full(len(names), -1, np.int32)
        for feature, (fact, bin_) in enumerate(names):
            if fact not in place:
                continue
            if bin_ == "other":
                self._reads[feature] = place[fact]
            elif bin_.startswith("#"):
                self._widths[place[fact]] += 1

    def knows(self, fact: str) -> bool:
        """Whether it is a text fact that may be widened."""
        return fact in self._facts

    def feed(self, index: npt.NDArray[np.int32], n_active: npt.NDArray[np.int64]) -> None:
        """Count n outcomes; of row r of `index` int32[n, a] the first `n_active[r]`, int64[n or more], are its active features."""
        if self._facts:
            _fill_unnamed(index, n_active, self._reads, self._counts)

    def due(self, n_entities: int) -> list[str]:
        """The facts to be widened now: those with as many unnamed outcomes as features. Their count begins anew."""
        found, room = [], CELLS_MAX // n_entities - len(self._reads)
        for k in np.flatnonzero(self._counts >= self._widths).tolist():
            width = self._widths.item(k)
            more = (GROWTH - 1) * width
            if width + more <= TEXTS_MAX and more <= room:
                found.append(self._facts[k])
                room -= more
                self._counts[k] = 0
        return found

    def state(self) -> dict[str, int]:
        """fact -> count."""
        return dict(zip(self._facts, self._counts.tolist(), strict=True))

    def load(self, state: Mapping[str, int]) -> None:
        """Take over what `state` gave, of the facts that are here too."""
        self._counts[:] = [state.get(fact, 0) for fact in self._facts]

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self._reads.nbytes + self._counts.nbytes


@kernel
def _fill_unnamed(index, n_active, reads, counts):
    """`reads` i32[n_features]: the fact at its "other", -1 at all other features."""
    for r in range(index.shape[0]):
        for i in range(n_active[r]):
            if reads[index[r, i]] >= 0:
                counts[reads[index[r, i]]] += 1
