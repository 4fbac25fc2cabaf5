"""Implementation of demo/image_demo.py: predict for all inputs, and write the results."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from ..errors import ConfigError, InputError
from .coco_ids import coco_ids, write_results
from .loading import load_model
from .predictions import Detection, Prediction, Segmentation
from .predictor import Predictor
from .shipped import find_shipped
from .sources import (
    Frame,
    Inputs,
    Video,
    VideoWriter,
    common_folder,
    find_inputs,
    relative_location,
    sub_folder_hint,
)

PICTURES = ('.jpeg', '.jpg', '.png')
VIDEOS = ('.avi', '.mp4')


def predict(args: argparse.Namespace) -> None:
    """Predict for files, videos and cameras; unreadable inputs are reported and skipped.

    Raises:
        ConfigError: If nothing could be read, or the switches, model or device do not allow it.
    """
    inputs = find_inputs(args.inputs)
    check_outputs(args, inputs)
    if args.model:
        args.config, args.checkpoint = map(str, find_shipped(args.model))
    model = load_model(
        args.config, args.checkpoint, args.device, deploy=args.deploy, cfg_options=args.cfg_options
    )
    check_switches(args, model, inputs)
    output = Output(args, model, inputs)
    if inputs.images:
        output.predict_images()
    for source in inputs.videos:
        try:
            output.predict_video(Video(source))
        except InputError as error:
            name = f'camera {source}' if isinstance(source, int) else str(source)
            output.skip(Frame(name), str(error))
    output.finish()


def check_outputs(args: argparse.Namespace, inputs: Inputs) -> None:
    """Raise ConfigError if the output cannot be written, or would overwrite an input or itself."""
    files = [path for path in (*inputs.images, *inputs.videos) if isinstance(path, Path)]
    folders = [] if args.no_pictures else [args.out_dir]
    for folder in [*folders, args.save_labels]:
        if folder and any(Path(folder).absolute() == path.absolute().parent for path in files):
            raise ConfigError(f'{folder} holds the input, which would be overwritten')
    if args.save_labels:
        maps = [path.with_suffix('') for path in inputs.images]
        if len(set(maps)) < len(maps):
            raise ConfigError('--save-labels: two images differ in their suffix alone')
    try:
        for folder in folders:
            Path(folder).mkdir(parents=True, exist_ok=True)
        for file in filter(None, (args.json, args.coco_json)):
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            open(file, 'a').close()  # sooner than after a long run
    except OSError as error:
        raise ConfigError(f'{error.filename} cannot be written ({error.strerror})') from None


def check_switches(args: argparse.Namespace, model: Predictor, inputs: Inputs) -> None:
    """Raise ConfigError for a switch that the task does not have."""
    own = {'coco_json': Detection, 'coco_ann': Detection, 'save_labels': Segmentation}
    for name, kind in own.items():
        if getattr(args, name) and model.kind is not kind:
            switch = name.replace('_', '-')
            raise ConfigError(f'--{switch} is for {kind.task}; {args.config} does {model.task}')
    if args.coco_ann and not args.coco_json:
        raise ConfigError('--coco-ann is for --coco-json, which is not given')
    if args.coco_json and inputs.videos:
        raise ConfigError('--coco-json is for images; --json takes the frames of videos, too')


class Output:
    """Writes the requested outputs of each prediction.

    Args:
        args (argparse.Namespace): The switches.
        model (Predictor): What predicts.
        inputs (Inputs): All that is predicted.

    Attributes:
        number: How many images and frames were predicted.
        skipped: What could not be read, and why.
    """

    def __init__(self, args: argparse.Namespace, model: Predictor, inputs: Inputs) -> None:
        self.args, self.model, self.inputs = args, model, inputs
        self.number = 0
        self.skipped: list[dict] = []
        self._records: list[dict] = []
        self._coco: list[dict] = []
        self._numbers: tuple[dict[str, int], list[int]] | None = None
        if args.coco_json:
            self._numbers = coco_ids(model.classes, inputs.images, args.coco_ann)
        files = [path for path in (*inputs.images, *inputs.videos) if isinstance(path, Path)]
        self._root = common_folder(files)

    def predict_images(self) -> None:
        """Predict for all image files and write a drawing of each."""
        frames = [Frame(str(path)) for path in self.inputs.images]
        for prediction in self._predictions(frames, len(frames), 'image'):
            target = self._target(prediction.frame.file)
            if not self.args.no_pictures:
                prediction.save(self._picture(target, PICTURES), self.args.score_thr)
            if self._numbers:
                self._coco.append(prediction.coco(self._numbers[0][prediction.frame.file]))
            self._keep(prediction, target.with_suffix('.png'))

    def predict_video(self, video: Video) -> None:
        """Predict for the frames of a video, or of a camera until Ctrl-C, and write a video."""
        target = Path(video.name) if video.is_camera else self._target(video.name)
        writer = VideoWriter(self._picture(target, VIDEOS), video.frame_rate)
        limits = [number for number in (video.length, self.args.max_frames) if number]
        total = min(limits, default=None)
        before = self.number
        frames = islice(video, self.args.max_frames)
        try:
            for prediction in self._predictions(frames, total, 'frame'):
                if not self.args.no_pictures:
                    writer.write(prediction.draw(self.args.score_thr))
                name = f'{target.stem}_{prediction.frame.index:06d}.png'
                self._keep(prediction, target.with_name(name))
        except KeyboardInterrupt:
            if not video.is_camera:
                raise
        finally:
            writer.close()
            video.close()
        read = self.number - before
        if not video.is_camera and read < (total or 1):
            self.skip(Frame(video.name), f'only {read} of {total or "its"} frames could be read')

    def _predictions(
        self, frames: Iterable[Frame], total: int | None, unit: str
    ) -> Iterator[Prediction]:
        """Predictions for frames, under a progress bar."""
        with tqdm(total=total, unit=unit) as self._bar:
            for prediction in self.model.stream(frames, self.args.batch_size, self._skip_one):
                yield prediction
                self._bar.update()

    def _skip_one(self, frame: Frame, reason: str) -> None:
        self.skip(frame, reason)
        self._bar.update()

    def _target(self, file: str) -> Path:
        """Where a file is, seen from the folder that all files are in."""
        return relative_location(self._root, file)

    def _picture(self, target: Path, suffixes: tuple[str, ...]) -> Path:
        """The file for a picture or video: of the same name if it can be of the same format."""
        if target.suffix.lower() not in suffixes:
            target = target.with_name(target.name + suffixes[-1])
        return Path(self.args.out_dir, target)

    def _keep(self, prediction: Prediction, labels: Path) -> None:
        """Note what goes into the JSON file, and write a label map."""
        self.number += 1
        record = prediction.to_dict(self.args.score_thr) if self.args.json else {}
        if self.args.save_labels:
            path = prediction.save_labels(Path(self.args.save_labels, labels))
            record['labels'] = str(path)
        if self.args.json:
            self._records.append(record)

    def skip(self, frame: Frame, reason: str) -> None:
        """Report and record that an image cannot be read."""
        self.skipped.append(dict(file=str(frame), reason=reason))
        tqdm.write(f'skipped {frame}: {reason}', file=sys.stderr)

    def finish(self) -> None:
        """Write the JSON files and print a summary.

        Raises:
            InputError: If nothing could be predicted.
        """
        args = self.args
        if args.json:
            about = dict(
                task=self.model.task,
                config=args.config,
                checkpoint=args.checkpoint,
                classes=self.model.classes,
                score_thr=args.score_thr,
            )
            _write_json(args.json, dict(**about, images=self._records, skipped=self.skipped))
        if args.coco_json:
            write_results(args.coco_json, self._coco, self._numbers[1])
        left = [path.name for path in self.inputs.left_alone]
        if left:
            names = ', '.join(left[:3] + ['...'][: len(left) > 3])
            print(f'{len(left)} left alone, by their names neither images nor videos: {names}')
        if self.inputs.deeper:
            print(f'not taken: {sub_folder_hint(self.inputs.deeper)}')
        outputs = [] if args.no_pictures else [args.out_dir]
        outputs += [target for target in (args.json, args.coco_json, args.save_labels) if target]
        print(f'{self.number} predicted, {len(self.skipped)} skipped; see {", ".join(outputs)}')
        if not self.number:
            raise InputError('nothing could be read')


def _write_json(path: str, content: object) -> None:
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(content, file, ensure_ascii=False)
