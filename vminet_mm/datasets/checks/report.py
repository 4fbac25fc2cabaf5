"""Results of a data check, printed line by line while it runs."""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import DictAction

from ...errors import one_line
from ...files import shipped

PLAIN_NAME = re.compile(r'[\w-]+')  # nothing that a shell or a list reads otherwise
FIX = 'write a corrected copy with vminet_mm check-data CONFIG --fix OUT.json'
LAYOUTS_PAGE = shipped('docs/data.md')  # which an installed package has, too
QUICK_FILES = 1000  # looked for before every training
SHOWN_NAMES = 3  # of a list of files, in one line
SHOWN_CLASSES = 20  # with their counts; of more, the largest and the smallest


@dataclass
class Sample:
    """One image as a pipeline gives it to the model.

    Attributes:
        name (str): File name.
        image (np.ndarray): (H, W, 3) RGB uint8.
        data_sample: The labels, a data sample of mmdet, mmseg or mmpretrain.
        label_size (tuple[int, int]): Height and width of the image that boxes count in: that of
            the file where a test pipeline loads the labels after it has resized the image.
    """

    name: str
    image: Any
    data_sample: Any
    label_size: tuple[int, int]


@dataclass
class Report:
    """Facts, notes and problems of a config's data.

    A problem keeps a training from starting, or lets it learn something wrong. A note names what a
    training silently leaves out, which may be meant.

    Attributes:
        echo: Called with each line as it comes.
        split: The one that is being checked, with whose name notes and problems begin; none where
            it is empty.
        notes: What is left out, one line each.
        problems: What is wrong and its fix, one line each.
        classes: The names of the classes of each split.
        palettes: Their colors, RGB from 0 to 255; None where the data set has none.
        samples: Opened images of each split.
        least_classes: How many classes the labels of lists need where no names are given.
        has_label_lists: Whether images have several labels, or none.
        lengths: How many images of each split are used.
        unsafe: Splits whose masks would take all memory, so that no image is opened.
        masks: Splits whose pipeline loads masks of objects or whose evaluator compares them.
    """

    echo: Callable[[str], None] = print
    split: str = ''
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    palettes: dict[str, Sequence | None] = field(default_factory=dict)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    least_classes: int = 0
    has_label_lists: bool = False
    lengths: dict[str, int] = field(default_factory=dict)
    unsafe: set[str] = field(default_factory=set)
    masks: set[str] = field(default_factory=set)

    def option(self, name: str) -> str:
        """The dotted name of an option of the split's data set."""
        return f'{self.split}_dataloader.dataset.{name}'

    def fact(self, name: str, text: str) -> None:
        """Print a fact, under a name."""
        self.echo(f'  {name:<12} {text}')

    def note(self, text: str) -> None:
        """Add a note, printed at the end."""
        self.notes.append(self._named(text))

    def problem(self, text: str, fix: str) -> None:
        """Add a problem and its fix, printed at the end."""
        self.problems.append(f'{self._named(text)} -> {one_line(fix)}')

    def note_of(self, ids: Sequence[object], text: str) -> None:
        """Add a note on annotations with some of their ids, if there are any."""
        if ids:
            self.note(f'{len(ids)} {text} (annotation ids {some(ids)})')

    def problem_of(
        self, ids: Sequence[object], text: str, fix: str, kind: str = 'annotation'
    ) -> bool:
        """Add a problem of annotations, or images, with some of their ids.

        Args:
            ids: Their ids; without any there is no problem.
            text: What is wrong, behind their number.
            fix: How to fix it.
            kind: What the ids are of.

        Returns:
            bool: Whether there is a problem.
        """
        if ids:
            self.problem(f'{len(ids)} {text} ({kind} ids {some(ids)})', fix)
        return bool(ids)

    def _named(self, text: str) -> str:
        return one_line(f'{self.split}: {text}' if self.split else text)

    def say_findings(self) -> None:
        """Print all notes and problems, and the verdict."""
        self.echo('')
        for text in self.notes:
            self.echo(f'note: {text}')
        for text in self.problems:
            self.echo(f'problem: {text}')
        number = len(self.problems)
        if number:
            self.echo(f'{number} problem{"s" if number > 1 else ""}; fix before training')
        else:
            self.echo('nothing is wrong: training can start')


def set_option(path: str, value: object) -> str:
    """How to give a config a text: an option, or where a shell or MMEngine would read it otherwise,
    such as one with spaces, what to write in the config.
    """
    text = str(value)
    if shlex.quote(text) == text and DictAction._parse_iterable(text) == text:
        return f'--cfg-options {path}={text}'
    return _in_config(path, repr(text))


def _in_config(path: str, code: str) -> str:
    """What to write in a config to set a value, or part of a list, which is named alone."""
    first, *others = path.split('.')
    if any(name.isdecimal() for name in others):
        return f'in the config set {path} to {code}'
    for name in reversed(others):
        code = f'dict({name}={code})'
    return f'in the config {first} = {code}'


def name_classes(split: str, classes: Iterable[str]) -> str:
    """How to give a config the classes of a split: an option, or where a name cannot be written in
    one (MMEngine removes spaces and splits at commas), what to write in the config."""
    names = [str(name) for name in classes]
    option = f'[{",".join(names)}]'
    is_plain = all(PLAIN_NAME.fullmatch(name) for name in names)
    if is_plain and DictAction._parse_iterable(option) == names:  # not so with 7, true or inf
        return f'--cfg-options {split}_dataloader.dataset.metainfo.classes="{option}"'
    listed = ', '.join(map(repr, names))
    code = f'({listed}{"," if len(names) == 1 else ""})'
    return _in_config(f'{split}_dataloader.dataset.metainfo.classes', code)


def some(names: Iterable[object]) -> str:
    """The first few of many names, in one text."""
    names = [str(name) for name in names]
    more = ', ...' if len(names) > SHOWN_NAMES else ''
    return ', '.join(names[:SHOWN_NAMES]) + more


def repeated(values: Iterable[Any]) -> list[Any]:
    """The values that occur more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


def class_counts(classes: Sequence[str], counts: Sequence[int]) -> str:
    """Counts by class, the largest first; of many classes only the two ends."""
    pairs = sorted(zip(classes, map(int, counts), strict=True), key=lambda pair: -pair[1])
    texts = [f'{short_name(name)} {count}' for name, count in pairs]
    if len(texts) > SHOWN_CLASSES:
        half = SHOWN_CLASSES // 2
        texts = [*texts[:half], '...', *texts[-half:]]
    return ', '.join(texts)


def short_name(name: str) -> str:
    """The first of a class's synonyms."""
    return str(name).split(',')[0].strip()
