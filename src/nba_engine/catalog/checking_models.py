"""Whether the models that a catalog names can be made: that they fit into memory, and that a classifier of `river` is there and works.

Libraries are imported only where a catalog names a model that needs them.
"""

from __future__ import annotations

from collections.abc import Iterator

from nba_engine import schema
from nba_engine.catalog.definition import Definition, Model
from nba_engine.catalog.durations import FOREVER_US
from nba_engine.catalog.faults import Faults
from nba_engine.catalog.loading import KeyPath

FULL_COVARIANCE = ("probit_full", "linear")


def check_models(definition: Definition, faults: Faults) -> None:
    """Adds a fault for every section `model` that cannot be used."""
    for path, section in model_places(definition):
        if section.kind == "river":
            _check_classifier(section, path, faults)
            if section.half_life < FOREVER_US:
                faults.add((*path, "half_life"), "came half_life beside kind river: remove it, a classifier forgets in its own way")
            continue
        for key in ("classifier", "one_for_all"):
            if getattr(section, key):
                faults.add((*path, key), f"came {key} beside kind {section.kind}: remove it, or write kind: river")
    _check_memory(definition, faults)


def model_places(definition: Definition) -> Iterator[tuple[KeyPath, Model]]:
    """Every section that says which model, with its path."""
    yield ("model",), definition.model
    if definition.challenger is not None:
        yield ("challenger",), definition.challenger
    for name, issue in definition.issues.items():
        if issue.model is not None:
            yield ("issues", name, "model"), issue.model
    for i, action in enumerate(definition.actions):
        if action.model is not None:
            yield ("actions", i, "model"), action.model


def _check_classifier(section: Model, path: KeyPath, faults: Faults) -> None:
    from nba_engine.models.river_model import try_out

    if section.classifier is not None:
        try:
            try_out(section.classifier)
        except ValueError as error:
            faults.add((*path, "classifier"), str(error))


def _check_memory(definition: Definition, faults: Faults) -> None:
    """Full covariance takes K x D^2: told at the catalog's own section, which most actions follow."""
    for path, default in ((("model",), definition.model), (("challenger",), definition.challenger)):
        if default is None:
            continue
        n_learners = sum(len(action.treatments) or 1 for action in definition.actions
                         if not action.null_action and definition.model_of(action, default).kind in FULL_COVARIANCE)
        if not n_learners:
            continue
        from nba_engine.facts.columns import columns_of
        from nba_engine.facts.features import Features
        from nba_engine.models.gaussian import FULL_BYTES_MAX, bytes_needed

        facts = [schema.Fact(name, f.type, f.origin, f.predictor, f.sensitive, f.immutable) for name, f in definition.facts.items()]
        n_features = Features(columns_of(facts)).n_features
        needed = bytes_needed(n_learners, n_features)
        if needed > FULL_BYTES_MAX:
            faults.add(path, f"full covariance of {n_learners} actions over {n_features} features takes {needed / 2**30:.1f} GiB, needed at most "
                             f"{FULL_BYTES_MAX / 2**30:.0f} GiB: name probit_full or linear for fewer actions, or give facts predictor: false")
