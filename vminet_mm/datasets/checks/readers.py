"""Which class of the OpenMMLab packages reads a data set: what is checked depends on it."""

from mmengine.dataset import BaseDataset


def reader_of(kind: type[BaseDataset]) -> str:
    """Name of the class whose annotation format a data set keeps; '' if it parses it otherwise."""
    reader = kind.load_data_list.__qualname__.partition('.')[0]
    if reader == 'BaseDataset' and 'MultiLabelDataset' in (base.__name__ for base in kind.__mro__):
        return 'MultiLabelDataset'
    if reader != 'CocoDataset':
        return reader
    parser = kind.parse_data_info.__qualname__.partition('.')[0]
    return reader if parser == reader and kind.COCOAPI.__name__ == 'COCO' else ''
