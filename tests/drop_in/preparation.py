"""What a config needs besides another backbone to run for once, small, and without downloads."""

from pathlib import Path

from .rules import nested_dicts

SYNCHRONIZED = ('SyncBN', 'MMSyncBN', 'NaiveSyncBN')


def prepare(model: dict, library_root: Path) -> None:
    """Change the config of a model in place: nothing pretrained, plain norms, small tests.

    Batch augmentations, which bring images to the size of the training, are left out. Score
    thresholds in testing are lowered to 0, for otherwise random weights find nothing and the rest
    of the test would not run; to make up for it, few proposals are kept.

    Args:
        model: The config of a model.
        library_root: Folder that paths of other configs in it are relative to.
    """
    for node in nested_dicts(model):
        if _is_pretrained(node.get('init_cfg')):
            node['init_cfg'] = None
        for key in ('pretrained', 'teacher_ckpt', 'checkpoint', 'batch_augments'):
            if node.get(key):
                node[key] = False if node[key] is True else None
        if 'num_cp' in node:  # recomputing needs fairscale
            node['num_cp'] = 0
        if node.get('type') in SYNCHRONIZED:
            node['type'] = 'BN'
        teacher = node.get('teacher_config')
        if isinstance(teacher, str) and not Path(teacher).is_file():
            node['teacher_config'] = str(library_root / teacher)
    for node in nested_dicts(model):
        for test_cfg in nested_dicts(node.get('test_cfg') or {}):
            _find_few_but_some(test_cfg)


def _is_pretrained(init_cfg: object) -> bool:
    cfgs = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return any(isinstance(cfg, dict) and cfg.get('type') == 'Pretrained' for cfg in cfgs)


def _find_few_but_some(test_cfg: dict) -> None:
    if 'score_thr' in test_cfg:
        test_cfg['score_thr'] = 0.0
    for key, most in dict(nms_pre=100, max_per_img=20).items():
        if 'nms' in test_cfg and isinstance(test_cfg.get(key), int):  # others want all queries
            test_cfg[key] = min(test_cfg[key], most)
