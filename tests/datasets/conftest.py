import numpy as np
import pytest

from vminet_mm.datasets import draw_scene


@pytest.fixture(scope='session')
def scene_of(parameters):
    """Function that draws scene ``index`` of a split of ``mini`` again."""

    def draw(split, index):
        key = [parameters['seed'], ['train', 'val'].index(split), index]
        return draw_scene(np.random.default_rng(key), 128, 160)

    return draw
