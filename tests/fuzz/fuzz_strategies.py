"""What the fuzz tests draw from."""

from hypothesis import strategies as st
from torch import Tensor

SEEDS = st.integers(0, 2**31 - 1)  # of torch, for the values of tensors
MASKS = st.sampled_from(['tril', 'band', 'block', 'none'])
HALFWIDTHS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
RESIZES = st.sampled_from(['pool', 'interpolate'])
FORMS = st.sampled_from(['matrix', 'recurrent'])
RECURRENT_MASKS = st.sampled_from(['readout', 'inside'])


class Tensors(dict[str, Tensor]):
    """Tensors by name, of which a failure prints the shapes."""

    def __repr__(self) -> str:
        return str({name: tuple(value.shape) for name, value in self.items()})


def sizes(largest: int) -> st.SearchStrategy[tuple[int, int]]:
    """(H, W), each from 1."""
    return st.tuples(st.integers(1, largest), st.integers(1, largest))


@st.composite
def grids(draw: st.DrawFn, largest: int = 9) -> tuple[tuple[int, int], tuple[int, int]]:
    """The size of the input and the native one, often the same."""
    size = draw(sizes(largest))
    return size, draw(st.one_of(st.just(size), sizes(largest)))
