"""Inference can be captured in a CUDA graph: nothing waits for the GPU or comes from the host.

The tensors are fake ones of a CUDA device, so the branches are those of a GPU, and torch raises
where a number is read back or tensors of two devices meet.
"""

from functools import cache

import pytest
import torch
from tiny_models import TINY
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vminet_mm.models import VMINet
from vminet_mm.ops import context_weights

NATIVE, LARGER = (64, 64), (96, 128)


class Devices(TorchDispatchMode):
    """Note each operation and the devices of its tensors, also of those that it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, set[str]]] = []

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: tuple,
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> object:
        out = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor)]
        self.seen.append((func.overloadpacket.__name__, {x.device.type for x in tensors}))
        return out


def seen_on_cuda(model: torch.nn.Module, *images: tuple[int, ...]) -> list[tuple[str, set[str]]]:
    """What a model does with fake images of CUDA, of the last of the shapes."""
    states = dict(model.named_parameters()) | dict(model.named_buffers())
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        state = {k: torch.empty_like(v, device='cuda') for k, v in states.items()}
        for size in images:
            with Devices() as devices:
                x = torch.empty(2, 3, *size, dtype=torch.float16, device='cuda')
                torch.func.functional_call(model, state, (x,))
    return devices.seen


@pytest.fixture(autouse=True)
def _own_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the context that are made here are fake: nobody else gets them."""
    own = cache(context_weights.context_weights.__wrapped__)
    for module in ('matrix_torch', 'matrix_triton'):
        monkeypatch.setattr(f'vminet_mm.ops.{module}.context_weights', own)


@pytest.mark.parametrize('size', [NATIVE, LARGER], ids=str)
@pytest.mark.parametrize('deploy', [False, True])
@pytest.mark.parametrize('form', ['matrix', 'recurrent'])
@pytest.mark.parametrize('impl', ['torch', 'triton'])
def test_nothing_leaves_the_gpu(impl: str, form: str, deploy: bool, size: tuple[int, int]) -> None:
    model = VMINet(TINY, img_size=64, impl=impl, form=form).eval()
    if deploy:
        model.switch_to_deploy()
    seen = seen_on_cuda(model.half(), size, size)  # the first call may fill caches
    assert len(seen) > 20 and {'cuda'} == set().union(*(devices for _, devices in seen))


def test_what_would_be_found() -> None:
    class Reads(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / x.max().item()

    class Sends(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.tensor([1.0, 2.0]).to(x.device).sum()

    with pytest.raises(DataDependentOutputException):
        seen_on_cuda(Reads(), NATIVE)
    assert any('cpu' in devices for _, devices in seen_on_cuda(Sends(), NATIVE))


@pytest.mark.parametrize('form', ['matrix', 'recurrent'])
def test_one_graph(form: str) -> None:
    """mode='reduce-overhead' captures each compiled piece: the model is one, and reads nothing."""
    model = VMINet(TINY, img_size=64, form=form).eval()
    model.switch_to_deploy()
    counter = CompileCounterWithBackend('aot_eager')
    x = torch.randn(1, 3, *NATIVE)
    with torch.no_grad():
        (out,) = torch.compile(model, fullgraph=True, backend=counter)(x)
        torch.testing.assert_close(out, model(x)[0])
    (graph,) = counter.graphs
    called = {str(node.target) for node in graph.graph.nodes}
    assert not {'item', 'nonzero', 'tolist', 'cpu'} & called
