"""From public downloads to the layouts that the configs read, one file a data set."""

from .camvid import convert_camvid
from .cifar10 import convert_cifar10
from .nuclei import convert_nuclei
from .voc import convert_voc

__all__ = ['convert_camvid', 'convert_cifar10', 'convert_nuclei', 'convert_voc']
