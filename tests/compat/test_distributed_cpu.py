"""Two real processes, through mmengine's Runner."""


def test_two_processes_train_and_agree(python):
    output = python(
        """
        import atexit
        import torch
        import vminet_mm
        from mmengine.dist import all_reduce, get_backend, get_rank
        from mmengine.model import BaseModel, MMDistributedDataParallel
        from mmengine.runner import Runner

        # runs after what is registered later
        atexit.register(lambda: print(f'joined {torch.distributed.is_initialized()}\\n', end=''))

        class Model(BaseModel):
            def __init__(self):
                super().__init__()
                self.layers = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.SyncBatchNorm(3))

            def forward(self, inputs, mode='tensor'):
                outputs = self.layers(torch.stack(inputs))
                return {'loss': outputs.square().sum() + self.layers[0].weight.sum()}

        torch.manual_seed(0)
        data = [{'inputs': torch.randn(4)} for _ in range(8)]
        runner = Runner(
            model=Model(), work_dir='work', launcher='pytorch', cfg=dict(sync_bn='torch'),
            env_cfg=dict(dist_cfg=dict(backend='nccl')),  # what upstream's configs ask for
            train_dataloader=dict(
                batch_size=2, dataset=data, sampler=dict(type='DefaultSampler', shuffle=False)),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), log_level='ERROR')
        runner.train()

        assert isinstance(runner.model, MMDistributedDataParallel)
        assert get_backend() == 'gloo'
        assert not any(isinstance(m, torch.nn.SyncBatchNorm) for m in runner.model.modules())
        weight = runner.model.module.layers[0].weight.detach().clone()
        mean = weight.clone()
        all_reduce(mean, 'mean')
        assert torch.allclose(mean, weight)
        print(f'agreed {get_rank()}\\n', end='')  # in one piece, beside the other process
        """,
        '-m',
        'torch.distributed.run',
        '--standalone',
        '--nproc_per_node=2',
    )
    assert 'agreed 0' in output
    assert 'agreed 1' in output
    assert output.count('joined False') == 2


def test_the_device_functions_of_torch_are_restored(python):
    output = python("""
        import os, torch
        import vminet_mm
        from mmengine.dist import init_dist, get_world_size
        before = torch.cuda.set_device
        os.environ.update(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1',
                          MASTER_PORT='0')
        init_dist('pytorch', backend='nccl')
        assert torch.distributed.get_backend() == 'gloo'
        assert torch.cuda.set_device is before
        torch.distributed.destroy_process_group()
    """)
    assert 'Error' not in output
