from types import ModuleType

import numpy as np
import pytest
import torch

import vminet_mm  # noqa: F401
from vminet_mm.compat.other_models import numpy_names


@pytest.mark.filterwarnings('ignore:__array__ implementation:DeprecationWarning')
def test_retrieval_metrics_of_mmpretrain():
    from mmpretrain.evaluation import RetrievalAveragePrecision, RetrievalRecall

    scores = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.7, 0.6]])
    target = [[0], [2]]  # ranked first, and second
    recalls = RetrievalRecall.calculate(scores, target, topk=(1, 2), target_indices=True)
    assert [float(recall) for recall in recalls] == [50.0, 100.0]
    precision = RetrievalAveragePrecision.calculate(scores, target, 3, target_indices=True)
    assert float(precision) == pytest.approx(75.0)


def test_video_evaluation_of_mmdet_has_its_float():
    from mmdet.evaluation.functional import ytviseval

    assert np.zeros(1).astype(dtype=ytviseval.np.float).dtype == np.float64


def test_numpy_itself_is_untouched_and_complete():
    module = ModuleType('module')
    module.np = np
    numpy_names.fix(module)
    assert module.np.in1d is np.isin
    assert module.np.float is float
    assert module.np.linalg is np.linalg
    assert 'float' not in vars(np)
    with pytest.raises(AttributeError):
        _ = module.np.no_such_name


def test_a_module_without_numpy_is_left_alone():
    module = ModuleType('module')
    numpy_names.fix(module)
    assert not hasattr(module, 'np')
