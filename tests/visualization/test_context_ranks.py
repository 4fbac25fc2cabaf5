"""Numerical ranks of E under the masks, with matrices whose ranks are known."""

import pytest
import torch
from test_context_maps import backbone, embedding_of
from torch import nn

from vminet_mm.visualization.context_maps import find_attentions
from vminet_mm.visualization.context_ranks import (
    MASKS,
    context_ranks,
    numerical_rank,
    ranks_as_table,
)

RANKED = ('M E', 'alpha M E')


def test_rank_is_that_of_float32() -> None:
    matrix = torch.ones(5, 3)
    assert numerical_rank(matrix) == 1
    matrix[0, 0] += 1e-7  # below the precision of float32
    assert numerical_rank(matrix) == 1
    matrix[0, 0] += 1e-3
    assert numerical_rank(matrix) == 2
    assert numerical_rank(torch.zeros(2, 7)) == 0
    assert numerical_rank(torch.eye(4, 6)) == 4


def test_masks_raise_the_rank_of_an_embedding_of_rank_1() -> None:
    model = backbone()
    attn = model.stages[0][1].attn
    for conv in (attn.query, attn.key):
        nn.init.zeros_(conv.weight)
        nn.init.ones_(conv.bias)
    nn.init.ones_(attn.alpha)  # E is all ones: 16 tokens, 8 channels
    (ranks,) = context_ranks(model, [torch.randn(1, 3, 16, 16)])['1.1']
    assert (ranks['full'], ranks['E'], ranks['none M E']) == (8, 1, 1)
    assert ranks['tril M E'] == ranks['tril alpha M E'] == 8
    assert ranks['block M E'] == 4  # blocks of 2 x 2, each of rank 1


def test_alpha_takes_tokens_away() -> None:
    model = backbone()
    attn = model.stages[0][1].attn
    with torch.no_grad():
        attn.alpha.flatten()[3:] = 0
    (ranks,) = context_ranks(model, [torch.randn(1, 3, 16, 16)], masks=['none'])['1.1']
    assert ranks['none M E'] == ranks['E'] > 3
    assert ranks['none alpha M E'] <= 3


@pytest.mark.parametrize('size', [(16, 16), (32, 32)])
def test_ranks_of_images_are_those_of_their_embeddings(size: tuple[int, int]) -> None:
    model = backbone(depths=(1, 1, 0, 0))
    images = [torch.randn(1, 3, *size) for _ in range(2)]
    found = context_ranks(model, images)
    assert list(found) == list(find_attentions(model))
    for image, ranks in zip(images, found['1.1'], strict=True):
        embedding = torch.from_numpy(embedding_of(model, image))
        native = nn.functional.adaptive_avg_pool2d(embedding, (4, 4))[0].flatten(1).t()
        assert ranks['E'] == numerical_rank(native)
    assert set(found['2.1'][0]) == {'full', 'E', *(f'{m} {x}' for m in MASKS for x in RANKED)}


def test_table_has_means_over_images() -> None:
    found = {'1.1': [{'full': 8, 'E': 7}, {'full': 8, 'E': 8}], '3.18': [{'full': 4, 'E': 4}]}
    assert ranks_as_table(found).splitlines() == [
        '| block | full | E |',
        '| --- | ---: | ---: |',
        '| 1.1 | 8 | 7.5 |',
        '| 3.18 | 4 | 4 |',
    ]
