"""Few-shot studies: learners and their baselines on the same frozen tasks, selected on validation classes.

Example:
    >>> import torch
    >>> from torch_geometric.datasets import FakeDataset
    >>> from graphkit.meta import ClassSplit, FewShotProtocol
    >>> from graphkit.training.fewshot import fewshot, study_of_classes
    >>> data = FakeDataset(num_graphs=1, avg_num_nodes=200, num_classes=5, task="node")[0]
    >>> protocol = FewShotProtocol(k_shot=1, n_query=4, n_tasks=5)
    >>> split = ClassSplit(train=(0, 1), validation=(2,), test=(3, 4))
    >>> outcome = fewshot(study_of_classes(data, [split], protocol), protocol, ["prototypes-2", "logistic"])
    >>> list(outcome.record.methods)
    ['prototypes-2', 'logistic']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphkit._exports import deprecated_names, lazy

if TYPE_CHECKING:
    from graphkit.training.fewshot.fewshot_results import FewShotRecord, MethodResult, ProblemResult
    from graphkit.training.fewshot.method import AbstractMethod
    from graphkit.training.fewshot.named_methods import METHODS, with_baselines
    from graphkit.training.fewshot.run_fewshot import FewShotOutcome, fewshot
    from graphkit.training.fewshot.studies import Study, study_across_graphs, study_of_classes, study_of_graphs

__getattr__ = deprecated_names(
    __name__,
    {"with_rivals": "graphkit.training.fewshot.named_methods.with_baselines"},
    lazy(
        __name__,
        {
            "method": ["AbstractMethod"],
            "named_methods": ["METHODS", "with_baselines"],
            "fewshot_results": ["FewShotRecord", "MethodResult", "ProblemResult"],
            "studies": ["Study", "study_across_graphs", "study_of_classes", "study_of_graphs"],
            "run_fewshot": ["FewShotOutcome", "fewshot"],
        },
    ),
)

__all__ = [
    "METHODS",
    "AbstractMethod",
    "FewShotOutcome",
    "FewShotRecord",
    "MethodResult",
    "ProblemResult",
    "Study",
    "fewshot",
    "study_across_graphs",
    "study_of_classes",
    "study_of_graphs",
    "with_baselines",
]
