"""Whether the data sets exist: those of all configs, or those of one config."""

from pathlib import Path
from typing import Any

from ..errors import error_text
from ..files import shipped
from ..tasks import MINI_ROOT, SCOPES, TASKS
from .fixes import install
from .report import Section

# name: where the configs look for it, and what lies there
LAYOUTS = {
    **{task.layout.name: (task.layout.root, task.layout.parts()) for task in TASKS},
    'built-in': (MINI_ROOT, [task.layout.mini for task in TASKS]),
}


def check_roots(data_root: str | None = None) -> Section:
    """The folders that the configs read, or one folder that should have one of their layouts."""
    section = Section('data')
    if data_root is not None:
        _recognize(section, data_root)
        return section
    for name, (root, parts) in LAYOUTS.items():
        missing = [part for part in parts if not (Path(root) / part).exists()]
        if not missing:
            section.facts[name] = root
            continue
        absent = len(missing) == len(parts)
        section.facts[name] = f'{root} is missing' if absent else f'{root} lacks {missing[0]}'
        section.problem(f'{name}: {section.facts[name]}', _supply(root), fatal=False)
    return section


def _recognize(section: Section, data_root: str) -> None:
    found = [
        name
        for name, (_, parts) in LAYOUTS.items()
        if all((Path(data_root) / part).exists() for part in parts)
    ]
    section.facts[data_root] = (
        ', '.join(found) or f'none of the layouts of {shipped("docs/data.md")}'
    )
    if not found:
        what = f'{data_root} has none of the layouts of COCO, ADE20K and ImageNet'
        section.problem(what, _supply(data_root))


def _supply(root: str) -> str:
    """The command that puts data where they are looked for."""
    root = root.rstrip('/')
    if (Path(root) / '_').is_relative_to(MINI_ROOT):
        return 'vminet_mm make-mini-data'
    return f'mkdir -p {Path(root).parent} && ln -s WHERE_THE_DATA_ARE {root}'


def check_config(config: str, data_root: str | None, usable: set[str]) -> tuple[Section, Any]:
    """What a config needs: package, data and checkpoints; and the config if it can be read."""
    from ..engine.config import load_config

    section = Section(f'what {config} needs')
    if not Path(config).is_file():
        section.problem(f'there is no config {config}', 'ls configs/*/*.py')
        return section, None
    if data_root is not None and not Path(data_root).is_dir():
        section.problem(f'there is no folder {data_root}', _supply(data_root))
        return section, None
    try:
        cfg = load_config(config, data_root=data_root)
    except Exception as error:  # a config is a program
        what = f'{config} cannot be read: {error_text(error)}'
        missing = [name for name in SCOPES if name not in usable]
        base = next((name for name in missing if name in str(error)), None)
        section.problem(what, install(base) if base else f'python -i {config}')
        return section, None
    scope = cfg.get('default_scope') or 'mmengine'
    section.facts['package'] = scope
    if scope not in usable:
        section.problem(f'{config} needs {scope}, which cannot be used', install(scope))
    _check_files(section, cfg)
    return section, cfg


def _check_files(section: Section, cfg: Any) -> None:
    from ..datasets.config_parts import dataset_paths, leaf_datasets, missing_paths
    from ..engine.weights import pretrained_entries

    for split in ('train', 'val'):
        dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
        folders = [[leaf.get('data_root'), *dataset_paths(leaf)] for leaf in leaf_datasets(dataset)]
        roots = [next(filter(None, folder)) for folder in folders if any(folder)]
        missing = missing_paths(cfg, split)
        if roots:
            section.facts[f'data of {split}'] = ', '.join(dict.fromkeys(roots))
        if missing:
            more = f' and {len(missing) - 1} more' if len(missing) > 1 else ''
            section.problem(
                f'{split}: {missing[0]}{more} is missing', _supply((roots or missing)[0])
            )
    init_cfg = ((cfg.get('model') or {}).get('backbone') or {}).get('init_cfg')
    named = [entry.get('checkpoint') for entry in pretrained_entries(init_cfg)]
    for checkpoint in (cfg.get('load_from'), *named):
        if checkpoint and '://' not in checkpoint:
            section.facts['checkpoint'] = checkpoint
            if not Path(checkpoint).is_file():
                fix = f'vminet_mm train {cfg.filename} --pretrained WHERE_IT_IS'
                section.problem(f'there is no checkpoint {checkpoint}', fix)
