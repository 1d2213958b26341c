"""vowpalwabbit, in both of its ways to explore: `--cb_explore_adf` with the actions handed over in each call, `--cb_explore N` with fixed ones.

Text lines, as its tutorials build them; the lines of the actions are joined once, the customer's for each call, the choice is drawn from the
probabilities that come back. The quadratic features -q UA cross customer and action, without them all customers would be alike.
No rules, no contact history, no slate, no record of what was decided: the user keeps facts, choice and probability until the answer comes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import open_world
from benchmarks.peers import Choice


class AdfVw:
    """Actions handed over in each call, each with its id and its group as features."""

    def __init__(self, n_actions: int) -> None:
        from vowpalwabbit import Workspace

        self._workspace = Workspace("--cb_explore_adf -q UA --epsilon 0.1 --quiet --random_seed 1")
        self._actions = [f"|Action id=action-{i} group=group-{i % open_world.N_GROUPS}" for i in range(n_actions)]
        self._all = "\n".join(self._actions)
        self._random = random.Random(1)

    def decide(self, facts: Mapping[str, Any]) -> Choice:
        return self._chosen(facts, self._all)

    def decide_among(self, facts: Mapping[str, Any], eligible: Sequence[int]) -> Choice:
        """The actions that rules have left; the choice is a position among them."""
        return self._chosen(facts, "\n".join([self._actions[i] for i in eligible]))

    def learn(self, facts: Mapping[str, Any], choice: Choice, reward: float) -> None:
        lines = [f"shared |User {_text(facts)}", *self._actions]
        lines[1 + choice.action] = f"0:{-reward}:{choice.probability} {lines[1 + choice.action]}"
        self._workspace.learn("\n".join(lines))

    def close(self) -> None:
        self._workspace.finish()

    def _chosen(self, facts: Mapping[str, Any], actions: str) -> Choice:
        probabilities = self._workspace.predict(f"shared |User {_text(facts)}\n{actions}")
        action = self._random.choices(range(len(probabilities)), probabilities)[0]
        return Choice(action, probabilities[action])


class FixedVw:
    """N actions fixed for good, one regression each."""

    def __init__(self, n_actions: int) -> None:
        from vowpalwabbit import Workspace

        self._workspace = Workspace(f"--cb_explore {n_actions} --epsilon 0.1 --quiet --random_seed 1")
        self._random = random.Random(1)

    def decide(self, facts: Mapping[str, Any]) -> Choice:
        probabilities = self._workspace.predict(f"| {_text(facts)}")
        action = self._random.choices(range(len(probabilities)), probabilities)[0]
        return Choice(action, probabilities[action])

    def learn(self, facts: Mapping[str, Any], choice: Choice, reward: float) -> None:
        self._workspace.learn(f"{choice.action + 1}:{-reward}:{choice.probability} | {_text(facts)}")

    def close(self) -> None:
        self._workspace.finish()


def _text(facts: Mapping[str, Any]) -> str:
    """Texts as name=text, numbers as name:number, lists as one feature an item; what is null is left out."""
    parts: list[str] = []
    for name, fact in facts.items():
        if type(fact) is str:
            parts.append(f"{name}={fact}")
        elif type(fact) is list:
            parts.extend([f"{name}={item}" for item in fact])
        elif fact is not None:
            parts.append(f"{name}:{fact}")
    return " ".join(parts)
