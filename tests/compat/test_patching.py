import sys
from types import ModuleType

import pytest

from vminet_mm.compat import patching


class Target:
    def method(self, x):
        """Double."""
        return 2 * x

    @classmethod
    def make(cls, x):
        return cls, x

    @staticmethod
    def add(x, y):
        return x + y


@pytest.fixture
def target():
    return type('Target', (), dict(vars(Target)))


def plus_one(original, *args, **kwargs):
    result = original(*args, **kwargs)
    return (*result, 1) if isinstance(result, tuple) else result + 1


def test_methods_keep_their_kind(target):
    for name in ('method', 'make', 'add'):
        patching.wrap(target, name, plus_one, 'compat.test_piece')
    assert target().method(3) == 7
    assert target.make(3) == (target, 3, 1)
    assert target.add(3, 4) == 8
    assert target.method.__doc__ == 'Double.'
    assert patching.is_active('test_piece')


def test_a_subclass_reaches_the_wrapped_class_method(target):
    patching.wrap(target, 'make', plus_one, 'test_piece')
    child = type('Child', (target,), {})
    assert target.make(0)[0] is target
    assert child.make(0)[0] is child


@pytest.mark.parametrize('name', ['method', 'make', 'add'])
def test_wrapping_twice_wraps_once(target, name):
    patching.wrap(target, name, plus_one, 'test_piece')
    once = vars(target)[name]
    patching.wrap(target, name, plus_one, 'test_piece')
    assert vars(target)[name] is once


def test_what_does_not_exist_is_left_alone(target):
    patching.wrap(target, 'no_such_method', plus_one, 'test_absent')
    assert not hasattr(target, 'no_such_method')
    assert not patching.is_active('test_absent')


def test_copies_in_mm_modules_follow(monkeypatch):
    owner, user, stranger = ModuleType('mmcv.owner'), ModuleType('mmdet.user'), ModuleType('other')

    def function():
        return 1

    function.__module__ = owner.__name__
    owner.function = user.renamed = stranger.function = function
    for module in (owner, user, stranger):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    patching.wrap(owner, 'function', plus_one, 'test_piece')
    assert owner.function() == user.renamed() == 2
    assert stranger.function is function


def test_temporarily_restores_after_an_error(target):
    before = target.add
    with pytest.raises(KeyError), patching.temporarily(target, add=None):
        assert target.add is None
        raise KeyError
    assert target.add is before
