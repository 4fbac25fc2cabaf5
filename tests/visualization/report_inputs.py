"""Work dirs as MMEngine writes them, made by hand, and a page taken apart."""

import json
from html.parser import HTMLParser
from pathlib import Path

LOG = """\
2025/01/01 10:00:00 - mmengine - INFO -
------------------------------------------------------------
System environment:
    sys.platform: linux
    Python: 3.11.7 (main) [GCC 12.2.0]
    PyTorch compiling details: PyTorch built with:
  - GCC 13.3
    GPU 0: a <fast> one

Runtime environment:
    seed: 0
------------------------------------------------------------
    seed: 5
"""
SEGMENTATION_LOG = """\
2025/01/01 11:00:00 - mmengine - INFO - per class results:
2025/01/01 11:00:00 - mmengine - INFO -
+------------+-------+-------+
|   Class    |  IoU  |  Acc  |
+------------+-------+-------+
| background |  96.8 | 97.65 |
|    ring    |  {}  |  nan  |
+------------+-------+-------+
2025/01/01 11:00:01 - mmengine - INFO - Iter(val) [10/10]    mIoU: 27.1000
"""
DETECTION_LOG = """\
2025/01/01 11:00:00 - mmengine - INFO - Evaluating bbox...
2025/01/01 11:00:00 - mmengine - INFO -
+----------+-------+--------+
| category | mAP   | mAP_50 |
+----------+-------+--------+
| ring     | 0.25  | 0.5    |
+----------+-------+--------+
2025/01/01 11:00:00 - mmengine - INFO - Evaluating segm...
2025/01/01 11:00:00 - mmengine - INFO -
+----------+-------+--------+
| category | mAP   | mAP_50 |
+----------+-------+--------+
| ring     | 0.125 | nan    |
+----------+-------+--------+
"""


def training_line(step: int, loss: float = 1.0, **others: float) -> dict:
    return {'lr': 0.1, 'loss': loss, 'epoch': 1, 'iter': step, 'step': step, **others}


def write_work_dir(
    folder: Path,
    lines: list[dict],
    start: str = '20250101_100000',
    name: str = 'mine',
    scope: str = 'mmpretrain',
    log: str = LOG,
    train_cfg: str = 'dict(by_epoch=True, max_epochs=3)',
    model: str = "dict(type='A')",
) -> Path:
    """A start of a run; returns the folder of its scalars."""
    text = f'default_scope = {scope!r}\nmodel = {model}\ntrain_cfg = {train_cfg}\n'
    vis_data = folder / start / 'vis_data'
    vis_data.mkdir(parents=True)
    for path in (folder / f'{name}.py', vis_data / 'config.py'):
        path.write_text(text)
    (vis_data / 'scalars.json').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    (folder / start / f'{start}.log').write_text(log)
    return vis_data


class Page(HTMLParser):
    """What a page says: text and cells by section, pictures, and addresses of any kind."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text: dict[str, str] = {'': ''}
        self.rows: dict[str, list[list[str]]] = {}
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self._section, self._open = '', []
        self.source = path.read_text(encoding='utf-8')
        self.feed(self.source)
        self.close()
        assert not self._open, f'not closed: {self._open}'

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or '') for name, value in attrs]
        if tag not in ('meta', 'img', 'input', 'br'):
            self._open.append(tag)
        if tag == 'section':
            self._section = dict(attrs)['id']
            self.text[self._section], self.rows[self._section] = '', []
        elif tag == 'tr':
            self.rows[self._section].append([])
        elif tag in ('td', 'th'):
            self.rows[self._section][-1].append('')

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or '') for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self._section = '' if tag == 'section' else self._section

    def handle_data(self, data: str) -> None:
        self.text[self._section] += data
        if 'td' in self._open or 'th' in self._open:
            self.rows[self._section][-1][-1] += data.strip()

    def values(self, tag: str, name: str) -> list[str]:
        """The values of an attribute of all tags of a kind, in their order."""
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]
