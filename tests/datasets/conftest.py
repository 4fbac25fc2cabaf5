import numpy as np
import pytest

from vminet_mm.datasets import draw_scene, make_mini_data


@pytest.fixture(scope='session')
def parameters():
    return {'num_train': 16, 'num_val': 6, 'seed': 3}


@pytest.fixture(scope='session')
def mini(parameters, tmp_path_factory):
    """(root, summary) of a small made set; tests must not write into it."""
    root = tmp_path_factory.mktemp('data') / 'mini'
    return root, make_mini_data(root, **parameters)


@pytest.fixture(scope='session')
def mini_root(mini):
    return mini[0]


@pytest.fixture(scope='session')
def scene_of(parameters):
    """Function that draws scene ``index`` of a split of ``mini`` again."""

    def draw(split, index):
        key = [parameters['seed'], ['train', 'val'].index(split), index]
        return draw_scene(np.random.default_rng(key), 128, 160)

    return draw
