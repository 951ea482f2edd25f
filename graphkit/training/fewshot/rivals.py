"""What stands beside a learner in a few-shot study."""

from __future__ import annotations

from graphkit._checks import member
from graphkit.training.fewshot.methods import METHODS

RIVALS = ("prototypes-2", "prototypes-centred", "prototypes-weighted", "logistic", "random-start", "fine-tuning")
"""What stands beside a single learner."""

ON_ENCODERS = ("encoder-prototypes", "encoder-semi", "encoder-ridge", "encoder-ridge-semi", "encoder-whitened")
"""What stands beside one that stands on an encoder, too."""

BESIDE: dict[str, tuple[bool, ...]] = {"all": (True, False), "untrained": (False,), "none": ()}
"""Which of them are asked for: those that are trained on other classes, those that are not, or neither."""


def with_rivals(name: str, rivals: str = "all") -> list[str]:
    """Return the names of a study: all methods, or the rivals and the one that was asked for.

    Args:
        name: of a method, or "all".
        rivals: "all" of them, "none", or those that are "untrained": without the labels of the training classes.

    Raises:
        ValueError: for an unknown name, of a method or of what stands beside it.

    Example:
        >>> with_rivals("maml")
        ['prototypes-2', 'prototypes-centred', 'prototypes-weighted', 'logistic', 'random-start', 'fine-tuning', 'maml']
        >>> with_rivals("maml", "untrained")
        ['prototypes-2', 'prototypes-centred', 'prototypes-weighted', 'logistic', 'random-start', 'maml']
    """
    allowed = BESIDE[member("rivals", rivals, BESIDE)]
    if name == "all":
        return list(METHODS)
    member("learner", name, [*METHODS, "all"])
    beside = [*RIVALS, *(ON_ENCODERS if METHODS[name].rows == "encoder" else ())]
    return [*(other for other in beside if other != name and METHODS[other].trained in allowed), name]
