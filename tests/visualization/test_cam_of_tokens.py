"""Maps of models that give tokens: DeiT of mmpretrain, and DeiT of timm in mmpretrain's wrapper."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from vminet_mm.inference import load_model
from vminet_mm.visualization.cam import choose_layers, explain
from vminet_mm.visualization.cam_scores import Settings
from vminet_mm.visualization.loading import LoadedModel

RECIPE = "_base_ = ['mmpretrain::deit/deit-tiny_4xb256_in1k.py']\n"
OF_TIMM = (
    "model = dict(_delete_=True, type='TimmClassifier', pretrained=False, depth=2, model_name="
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / 'picture.png'
    cv2.imwrite(str(file), np.random.default_rng(0).integers(256, size=(70, 90, 3), dtype=np.uint8))
    return file


def load(text: str) -> LoadedModel:
    torch.manual_seed(0)
    return LoadedModel.of(load_model(Config.fromstring(text, '.py'), None, device='cpu'))


def grad_cam(loaded: LoadedModel, layer: torch.nn.Module, inputs: torch.Tensor) -> np.ndarray:
    """Grad-CAM of the highest logit by its definition, on the 14 x 14 patches of 224 pixels."""
    kept = []
    with layer.register_forward_hook(lambda *call: kept.append(call[2])):
        logits = loaded.model(inputs.clone().requires_grad_(), mode='tensor')[0]
    (gradient,) = torch.autograd.grad(logits.max(), kept[0])
    gradient, tokens = gradient[0, -196:], kept[0][0, -196:]  # others stand before the patches
    heat = (gradient.mean(0) * tokens).sum(1).relu().reshape(14, 14).detach().numpy()
    heat = cv2.resize((heat - heat.min()) / (heat.max() - heat.min()), (224, 224))
    return (heat - heat.min()) / (heat.max() - heat.min())


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        (RECIPE, 'backbone.layers.11.ln1'),
        (f"{RECIPE}{OF_TIMM}'deit_tiny_patch16_224')", 'model.blocks.1.norm1'),
        (f"{RECIPE}{OF_TIMM}'deit_tiny_distilled_patch16_224')", 'model.blocks.1.norm1'),
    ],
    ids=['mmpretrain', 'timm', 'timm-distilled'],
)
def test_deit(text: str, name: str, picture: Path) -> None:
    loaded = load(text)
    sample = loaded.read(picture)
    (layers,) = choose_layers([loaded.model], [name])
    (heat,) = explain(loaded, sample, layers, Settings()).maps.values()
    assert heat.shape == (224, 224) and heat.max() > 0.99
    np.testing.assert_allclose(heat, grad_cam(loaded, layers[name], sample.inputs), atol=1e-4)
