"""The images that an annotation file lists, against those on the disk."""

import os
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..pictures import loaded_size
from .report import QUICK_FILES, Report, some

TOO_LARGE = 4  # listed side over the image's, from which masks are scaled to take all memory
MAX_SIZES = 500  # images whose size is read, or as many as there are samples to open
QUICK_SIZES = 16  # read before every training


def check_files(report: Report, folder: Path, names: list[str]) -> None:
    """Check that the listed images exist."""
    number = _check_there(report, folder, names)
    report.fact('images', f'{len(names)} listed, {number} found in {folder}')
    # a look into the folder itself, not below: names may hold folders
    listed = set(names)
    others = sum(entry.is_file() and entry.name not in listed for entry in os.scandir(folder))
    if others:
        report.note(f'{others} files in {folder} are not listed, and not used')


def check_some_files(report: Report, folder: Path, images: list[dict]) -> None:
    """Look for some of the listed images, and compare the sizes of a few."""
    spread = images[:: max(len(images) // QUICK_FILES, 1)]
    if _check_there(report, folder, [image['file_name'] for image in spread]) == len(spread):
        check_sizes_of(report, folder, images[:: max(len(images) // QUICK_SIZES, 1)])


def _check_there(report: Report, folder: Path, names: list[str]) -> int:
    """Report listed images that do not exist; returns the number of those that do."""
    missing = [
        name
        for name in tqdm(names, desc='looking for images', disable=None, leave=False)
        if not (folder / name).is_file()
    ]
    if missing:
        report.problem(
            f'{len(missing)} of {len(names)} listed images are missing in {folder} '
            f'({some(missing)})',
            _fix_of_missing(folder, missing),
        )
    return len(names) - len(missing)


def _fix_of_missing(folder: Path, missing: list[str]) -> str:
    """The fix for missing files: their names may differ from the list only in case or suffix."""
    slashed = [name for name in missing if '\\' in name]
    if slashed and (folder / slashed[0].replace('\\', '/')).is_file():
        return (
            'the files are there when each backslash in file_name is written as "/": write a '
            'corrected copy with vminet_mm check-data CONFIG --fix OUT.json'
        )
    bare = missing[0].replace('\\', '/').rpartition('/')[2]
    if bare != missing[0] and (folder / bare).is_file():
        return (
            f'the files are in {folder} itself: write file_name without a folder, as {bare}, or '
            'set data_prefix.img of the data set to the folder that the names start from'
        )
    name = folder / missing[0]
    if name.is_dir():
        return f'{name} is a folder: write the name of an image as file_name'
    if name.is_symlink():
        return f'{name} is a link to {os.readlink(name)}, which is not there'
    if name.parent.is_dir():
        alike = [e.name for e in os.scandir(name.parent) if e.name.lower() == name.name.lower()]
        if alike:
            return f'upper and lower case differ: the folder has {alike[0]}; write file_name alike'
        blanks = [e.name for e in os.scandir(name.parent) if e.name == name.name.strip()]
        if blanks:
            return 'remove the blanks around file_name'
        stems = [e.name for e in os.scandir(name.parent) if Path(e.name).stem == name.stem]
        if stems:
            return f'the suffix differs: the folder has {stems[0]}; write file_name alike'
    return 'unpack the images again, or take them out of the list'


def check_sizes(
    report: Report, folder: Path, images: list[dict], samples: int, rng: np.random.Generator
) -> None:
    """Compare listed sizes with those of images as they are loaded, EXIF orientation applied."""
    number = min(len(images), max(samples, MAX_SIZES))
    chosen = sorted(rng.choice(len(images), number, replace=False))
    check_sizes_of(report, folder, [images[index] for index in chosen])


def check_sizes_of(report: Report, folder: Path, images: list[dict]) -> None:
    """Report images whose size differs from the listed one, where one is listed."""
    number = len(images)
    turned, other = [], []
    for entry in images:
        size = loaded_size(folder / entry['file_name'])
        listed = (entry.get('width'), entry.get('height'))
        are_sizes = all(isinstance(side, (int, float)) and side for side in listed)
        if size is None or size[0] == listed or not are_sizes:  # missing sizes: reported separately
            continue
        if report.split in report.masks and max(listed) > TOO_LARGE * max(size[0]):
            report.unsafe.add(report.split)
        (turned if size[1] and size[0] == listed[::-1] else other).append(
            f'{entry["file_name"]}: listed {listed[0]} x {listed[1]}, '
            f'the image has {size[0][0]} x {size[0][1]}'
        )
    if turned:
        report.problem(
            f'{len(turned)} of {number} images are turned by their EXIF orientation when '
            f'loaded, but listed unturned ({some(turned)})',
            'save the images turned and without the tag, or list boxes and sizes as turned',
        )
    if other:
        report.problem(
            f'{len(other)} of {number} images have another size than listed '
            f'({some(other)}); were they resized after labeling?',
            'use the original images, or scale sizes, boxes, areas and masks in the annotations',
        )
