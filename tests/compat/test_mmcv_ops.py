from vminet_mm.compat import mmcv_ext


def test_the_operators_of_mmcv_can_be_imported(python):
    output = python("""
        import vminet_mm, mmcv.ops
        print({name: state for name, state, _ in vminet_mm.compat.describe()}['mmcv_ops'])
    """)
    assert output.strip() == ('not needed' if mmcv_ext.is_compiled() else 'applied')
