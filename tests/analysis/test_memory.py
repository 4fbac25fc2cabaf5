"""Memory against sums by hand. Numbers are float32, so 4 bytes each."""

import torch
from torch import Tensor, nn

from vminet_mm import VMINet
from vminet_mm.analysis.memory import peak_bytes, saved_bytes

SCALARS = 64  # bytes that constants such as the 2 of x * 2 may take


def test_two_layers_by_hand() -> None:
    net = nn.Sequential(nn.Linear(3, 5, bias=False), nn.ReLU(), nn.Linear(5, 2, bias=False))
    x = torch.randn(7, 3)
    # the input of each layer; that of the second is also the ReLU's output; weights do not count
    assert saved_bytes(lambda: net(x).sum(), net) == 4 * (7 * 3 + 7 * 5)


def test_a_storage_counts_once_and_whole() -> None:
    scale = nn.Linear(1, 1)
    x = torch.randn(4, 6)

    def halves() -> Tensor:
        left, right = (x * scale.weight).chunk(2, dim=1)
        return (left * right).sum()  # both views are saved, of one storage

    # x for the gradient of the weight, and the product of 4 x 6
    assert saved_bytes(halves, scale) == 4 * (24 + 24)


def test_statistics_of_a_norm_do_not_count() -> None:
    norm = nn.BatchNorm2d(3).eval()
    x = torch.randn(2, 3, 4, 5)
    assert saved_bytes(lambda: norm(x).sum(), norm) == 4 * x.numel()
    # in training mode it saves the mean and the deviation of the batch
    assert saved_bytes(lambda: norm.train()(x).sum(), norm) == 4 * (x.numel() + 3 + 3)


def test_nothing_is_kept_without_gradients() -> None:
    net = nn.Linear(3, 2).requires_grad_(False)
    assert saved_bytes(lambda: net(torch.randn(4, 3)).sum(), net) == 0


def test_recomputed_blocks_keep_less() -> None:
    arch = dict(base_channels=8, expansion=2, depths=(2, 1, 1, 1))
    x = torch.randn(2, 3, 64, 64)
    kept = []
    for with_cp in (False, True):
        net = VMINet(arch, img_size=64, with_cp=with_cp)
        kept.append(saved_bytes(lambda net=net: net(x)[0].sum(), net))
    assert 0 < kept[1] < 0.75 * kept[0]


def test_peak_is_the_most_at_a_time() -> None:
    x = torch.zeros(100, 250)  # 100 kB

    def three_maps_two_at_a_time() -> Tensor:
        first = x + 1
        second = first * 2
        del first
        return second.exp()

    assert abs(peak_bytes(three_maps_two_at_a_time) - 200_000) < SCALARS
    assert abs(peak_bytes(lambda: (x + 1)[:50]) - 100_000) < SCALARS


def test_peak_has_what_an_operation_allocates_inside() -> None:
    x = torch.zeros(1, 1, 40, 50)
    # values float32 and indices int64 of 20 x 25 cells
    assert peak_bytes(lambda: nn.functional.max_pool2d(x, 2)) == 20 * 25 * (4 + 8)


def test_no_allocation() -> None:
    assert peak_bytes(lambda: None) == 0
