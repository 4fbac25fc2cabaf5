"""Run an exported ONNX file on an image, with numpy, Pillow and onnxruntime alone.

It prints the classes of the image or of its pixels, or the objects in it, or what the maps of a
detector's backbone are like.
"""

import argparse
import json
import math

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageOps

MODES = {1: 'L', 3: 'RGB', 4: 'RGBA'}  # of Pillow, by the number of channels


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', help='file of tools/deployment/export_onnx.py')
    parser.add_argument('image', help='image file')
    parser.add_argument(
        '--out',
        help='write a picture of the classes (segmentor) or objects (detector), or the outputs as '
        'NAME.npz',
    )
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='the minimum score of an object that is told'
    )
    parser.add_argument('--keep-size', action='store_true', help='do not resize the image')
    parser.add_argument('--top', type=int, default=5, help='how many classes to print')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    session = onnxruntime.InferenceSession(
        args.model, providers=onnxruntime.get_available_providers()
    )
    about = read_metadata(session)
    picture = open_image(args.image, session.get_inputs()[0].shape, about)
    if not args.keep_size:  # a file that takes uint8 resizes itself: it has no such steps
        picture = resize(picture, about['resize'])
    names = [output.name for output in session.get_outputs()]
    outputs = session.run(names, {'image': prepare(picture, about)})
    outputs = dict(zip(names, outputs, strict=True))
    if about['task'] == 'classification':
        print_classes(outputs, about['classes'], args.top)
    elif about['task'] == 'segmentation':
        print_fractions(label_map(outputs, picture), about['classes'], args.top)
    elif 'boxes' in outputs:
        outputs = best_objects(outputs, args.score_thr)
        print_objects(outputs, about['classes'])
    else:
        print_maps(outputs)
    if args.out and args.out.endswith('.npz'):
        np.savez(args.out, **outputs)
    elif args.out and about['task'] == 'segmentation':
        paint(picture.convert('RGB'), label_map(outputs, picture), about['palette']).save(args.out)
    elif args.out and 'boxes' in outputs:
        draw_objects(picture.convert('RGB'), outputs, about).save(args.out)
    elif args.out:
        raise SystemExit(f'error: --out {args.out}: a file that ends with .npz takes the outputs')


def read_metadata(session: onnxruntime.InferenceSession) -> dict:
    """What the file says of itself: the classes, how images are resized and normalized, ..."""
    texts = session.get_modelmeta().custom_metadata_map
    if 'task' not in texts:
        raise SystemExit('error: the file was not made by tools/deployment/export_onnx.py')
    plain = {'task', 'input', 'color_order', 'color_type', 'backbone', 'arch', 'config'}
    plain |= {'checkpoint', 'version'}
    return {key: text if key in plain else json.loads(text) for key, text in texts.items()}


def resize(picture: Image.Image, steps: list[dict]) -> Image.Image:
    """Resize and crop as the test pipeline of the config does.

    Pillow averages pixels when it shrinks, where OpenCV, with which mmdet and mmseg resize, skips
    some: the results differ a little.
    """
    for step in steps:
        width, height = picture.size
        if 'crop' in step:
            crop_height, crop_width = min(step['crop'][0], height), min(step['crop'][1], width)
            left, top = round((width - crop_width) / 2), round((height - crop_height) / 2)
            picture = picture.crop((left, top, left + crop_width, top + crop_height))
            continue
        short, shorter = step.get('short_edge'), min(width, height)
        if 'long_edge' in step:
            scale = min(short / shorter, step['long_edge'] / max(width, height))
            size = int(width * scale + 0.5), int(height * scale + 0.5)
        elif short:
            size = width * short // shorter, height * short // shorter
        else:
            size = step['width'], step['height']
        picture = picture.resize(size, getattr(Image.Resampling, step['interpolation'].upper()))
    return picture


def open_image(path: str, shape: list, about: dict) -> Image.Image:
    """The image with as many channels as the file takes, turned as the camera was held."""
    channels = shape[-1 if about.get('input') == 'uint8' else 1]
    if channels not in MODES:
        raise SystemExit(f'error: the file takes {channels} channels; Pillow opens 1, 3 or 4')
    return ImageOps.exif_transpose(Image.open(path)).convert(MODES[channels])


def prepare(picture: Image.Image, about: dict) -> np.ndarray:
    """What the file takes: the picture as it is, (1, H, W, C) uint8, or normalized."""
    if about.get('input') == 'uint8':
        return pixels_of(picture)[None]
    return normalize(picture, about)


def pixels_of(picture: Image.Image) -> np.ndarray:
    """(H, W, C) uint8; of 4 channels blue first, as OpenCV reads them in the training."""
    pixels = np.asarray(picture)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return pixels[..., [2, 1, 0, 3]] if pixels.shape[2] == 4 else pixels


def normalize(picture: Image.Image, about: dict) -> np.ndarray:
    """The image as the network takes it, (1, C, H, W) float32, padded to whole strides."""
    pixels = pixels_of(picture).astype(np.float32)
    if about['color_order'] == 'bgr':
        pixels = pixels[..., ::-1]
    pixels = (pixels - np.float32(about['mean'])) / np.float32(about['std'])
    divisor = about['pad_size_divisor']
    rows, columns = (math.ceil(edge / divisor) * divisor - edge for edge in pixels.shape[:2])
    pixels = np.pad(pixels, ((0, rows), (0, columns), (0, 0)))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def label_map(outputs: dict[str, np.ndarray], picture: Image.Image) -> np.ndarray:
    """The class of each pixel, (H, W)."""
    labels = outputs['classes'] if 'classes' in outputs else outputs['logits'].argmax(1)
    return labels[0, : picture.height, : picture.width]


def print_classes(outputs: dict[str, np.ndarray], classes: list[str], top: int) -> None:
    """The most probable classes of the image."""
    scores = outputs.get('probabilities')
    if scores is None:
        scores = np.exp(outputs['logits'] - outputs['logits'].max())
        scores /= scores.sum()
    for label in scores[0].argsort()[::-1][:top]:
        print(f'{scores[0, label]:7.2%}  {classes[label]}')


def print_fractions(labels: np.ndarray, classes: list[str], top: int) -> None:
    """The classes that take most of the image."""
    fractions = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
    for label in fractions.argsort()[::-1][:top]:
        print(f'{fractions[label]:7.2%}  {classes[label]}')


def best_objects(outputs: dict[str, np.ndarray], score_thr: float) -> dict[str, np.ndarray]:
    """The outputs of the objects whose score is at least a threshold."""
    is_good = outputs['scores'] >= score_thr
    return {name: values[is_good] for name, values in outputs.items()}


def print_objects(outputs: dict[str, np.ndarray], classes: list[str]) -> None:
    """Score, class and box (left, top, right, bottom) of each object."""
    for score, label, box in zip(*map(outputs.get, ('scores', 'labels', 'boxes')), strict=True):
        print(f'{score:7.2%}  {classes[label]:16} ' + ' '.join(f'{edge:7.1f}' for edge in box))


def whole_mask(mask: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The probabilities (28, 28) within a box over the whole picture, (H, W).

    Args:
        mask: Interpolated bilinearly, with zeros around it.
        box: Left, top, right and bottom.
        size: Width and height of the picture.
    """
    weights = []
    for start, end, pixels, cells in zip(box[:2], box[2:], size, mask.shape[::-1], strict=True):
        position = (np.arange(pixels) + 0.5 - start) / max(end - start, 1e-6) * cells - 0.5
        weights.append(np.maximum(0, 1 - abs(position[:, None] - np.arange(cells))))
    columns, rows = weights
    return rows @ mask @ columns.T


def draw_objects(picture: Image.Image, outputs: dict[str, np.ndarray], about: dict) -> Image.Image:
    """The picture with the boxes, names and masks of its objects, the best ones on top."""
    for number in range(len(outputs['boxes']))[::-1]:
        label, box = outputs['labels'][number], outputs['boxes'][number]
        color = tuple(about['palette'][label])
        if 'masks' in outputs:
            mask = outputs['masks'][number]
            if mask.dtype != bool:
                mask = whole_mask(mask, box, picture.size) >= about['mask_threshold']
            tinted = Image.blend(picture, Image.new('RGB', picture.size, color), 0.5)
            picture = Image.composite(tinted, picture, Image.fromarray(mask))
        draw = ImageDraw.Draw(picture)
        draw.rectangle([float(edge) for edge in box], outline=color, width=2)
        text = f'{about["classes"][label]} {outputs["scores"][number]:.2f}'
        draw.text((float(box[0]) + 3, float(box[1]) + 2), text, fill=color)
    return picture


def print_maps(outputs: dict[str, np.ndarray]) -> None:
    """Shape and values of each map."""
    for name, values in outputs.items():
        shape = ' x '.join(map(str, values.shape))
        print(f'{name:10} {shape:20} mean {values.mean():8.4f}  std {values.std():8.4f}')


def paint(picture: Image.Image, labels: np.ndarray, palette: list[list[int]]) -> Image.Image:
    """The picture, tinted with the colors of its classes."""
    colors = Image.fromarray(np.uint8(palette)[labels])
    return Image.blend(picture, colors, 0.5)


if __name__ == '__main__':
    main(parse_args())
