import mmcv.ops

from vminet_mm import compat
from vminet_mm.compat import mmcv_ext


def test_the_operators_of_mmcv_can_be_imported():
    states = {name: state for name, state, _ in compat.describe()}
    assert states['mmcv_ops'] == ('not needed' if mmcv_ext.is_compiled() else 'applied')
    assert callable(mmcv.ops.nms)
