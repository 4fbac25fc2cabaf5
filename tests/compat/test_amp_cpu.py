def test_mixed_precision_trains_in_bfloat16(python):
    output = python("""
        import torch
        import vminet_mm
        from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
        from mmengine.optim.optimizer import amp_optimizer_wrapper as module

        scaler = module.GradScaler
        for dtype in (None, 'float16', torch.float16, 'bfloat16', torch.bfloat16):
            for loss_scale in ('dynamic', 512., dict(init_scale=2.)):
                model = torch.nn.Linear(4, 3)
                before = model.weight.detach().clone()
                optim = AmpOptimWrapper(
                    loss_scale=loss_scale, dtype=dtype, clip_grad=dict(max_norm=1.),
                    optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
                with optim.optim_context(model):
                    output = model(torch.randn(2, 4))
                assert output.dtype == torch.bfloat16, output.dtype
                optim.update_params(output.float().square().sum())
                assert not torch.equal(model.weight, before)
                optim.load_state_dict(optim.state_dict())

        # As upstream's tools/train.py builds it from --amp, and a dtype that is no half.
        optimizer = dict(type='SGD', lr=1)
        config = dict(type='AmpOptimWrapper', loss_scale='dynamic', optimizer=optimizer)
        assert build_optim_wrapper(model, config).cast_dtype == torch.bfloat16
        # Upstream's module is as it was.
        assert module.GradScaler is scaler and not module.is_cuda_available()
        try:
            AmpOptimWrapper(dtype='int8', optimizer=torch.optim.SGD(model.parameters(), lr=1))
        except AssertionError as error:
            assert 'int8' in str(error)
        else:
            raise SystemExit('int8 was accepted')
    """)
    assert output.strip() == ''
