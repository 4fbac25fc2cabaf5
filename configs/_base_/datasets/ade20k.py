_base_ = ['mmseg::_base_/datasets/ade20k.py']
train_dataloader = dict(batch_size=2, dataset=dict(type='ADE20KLayoutDataset'))
val_dataloader = dict(dataset=dict(type='ADE20KLayoutDataset'))
test_dataloader = val_dataloader
