"""Baselines that stand beside a learner in a few-shot study."""

from __future__ import annotations

from graphkit._checks import member
from graphkit.training.fewshot.methods import METHODS

BASELINES = ("prototypes-2", "prototypes-centred", "prototypes-weighted", "logistic", "random-start", "fine-tuning")
"""What stands beside a single learner."""

ON_ENCODERS = ("encoder-prototypes", "encoder-semi", "encoder-ridge", "encoder-ridge-semi", "encoder-whitened")
"""What stands beside one that stands on an encoder, too."""

BESIDE: dict[str, tuple[bool, ...]] = {"all": (True, False), "untrained": (False,), "none": ()}
"""Which of them are asked for: those that are trained on other classes, those that are not, or neither."""


def with_baselines(name: str, baselines: str = "all") -> list[str]:
    """Return the names of a study: all methods, or the baselines and the one that was asked for.

    Args:
        name: of a method, or "all".
        baselines: "all" of them, "none", or those that are "untrained": without the labels of the training classes.

    Raises:
        ValueError: for an unknown name, of a method or of what stands beside it.

    Example:
        >>> with_baselines("maml")
        ['prototypes-2', 'prototypes-centred', 'prototypes-weighted', 'logistic', 'random-start', 'fine-tuning', 'maml']
        >>> with_baselines("maml", "untrained")
        ['prototypes-2', 'prototypes-centred', 'prototypes-weighted', 'logistic', 'random-start', 'maml']
    """
    allowed = BESIDE[member("baselines", baselines, BESIDE)]
    if name == "all":
        return list(METHODS)
    member("learner", name, [*METHODS, "all"])
    beside = [*BASELINES, *(ON_ENCODERS if METHODS[name].rows == "encoder" else ())]
    return [*(other for other in beside if other != name and METHODS[other].trained in allowed), name]
