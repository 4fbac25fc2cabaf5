// Objects over their picture: masks, boxes and names.

const CELLS = 28; // of a mask, along each edge of its box

// Draws the objects whose score is at least the threshold, the best ones on top.
// Returns a line of text for each, the best one first.
export function draw(canvas, pixels, found, about, threshold) {
  const shown = [...found.scores.keys()].filter((k) => found.scores[k] >= threshold);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const picture = new ImageData(new Uint8ClampedArray(pixels.data), pixels.width, pixels.height);
  const objects = shown.map((k) => ({
    box: [...found.boxes.subarray(4 * k, 4 * k + 4)],
    color: about.palette[Number(found.labels[k])],
    text: `${about.classes[Number(found.labels[k])]} ${found.scores[k].toFixed(2)}`,
    mask: found.masks?.subarray(CELLS * CELLS * k, CELLS * CELLS * (k + 1)),
  }));
  for (const { mask, box, color } of objects.toReversed()) {
    if (mask) tint(picture, mask, box, color, about.mask_threshold);
  }
  context.putImageData(picture, 0, 0);
  for (const { box, color, text } of objects.toReversed()) outline(context, box, color, text);
  return objects.map(({ text, box }) => `${text} at ${box.map((edge) => edge.toFixed(1)).join(', ')}`);
}

function outline(context, [left, top, right, bottom], color, text) {
  context.strokeStyle = context.fillStyle = `rgb(${color.join(',')})`;
  context.strokeRect(left, top, right - left, bottom - top);
  context.font = '9px sans-serif';
  context.fillText(text, left + 2, top + 9);
}

// Mixes the color into the pixels where the mask, interpolated bilinearly with zeros around it, is
// at least the threshold. A mask reaches half a cell beyond its box.
function tint(picture, mask, [left, top, right, bottom], color, threshold) {
  const { width, height, data } = picture;
  const scale = [Math.max(right - left, 1e-6) / CELLS, Math.max(bottom - top, 1e-6) / CELLS];
  const from = [Math.max(0, Math.floor(left - scale[0])), Math.max(0, Math.floor(top - scale[1]))];
  const to = [Math.min(width, Math.ceil(right + scale[0])), Math.min(height, Math.ceil(bottom + scale[1]))];
  for (let y = from[1]; y < to[1]; y++) {
    for (let x = from[0]; x < to[0]; x++) {
      const at = [(x + 0.5 - left) / scale[0] - 0.5, (y + 0.5 - top) / scale[1] - 0.5];
      if (bilinear(mask, ...at) < threshold) continue;
      const start = 4 * (y * width + x);
      for (let channel = 0; channel < 3; channel++) {
        data[start + channel] = (data[start + channel] + color[channel]) / 2;
      }
    }
  }
}

function bilinear(mask, x, y) {
  const [column, row] = [Math.floor(x), Math.floor(y)];
  let sum = 0;
  for (const [r, weight] of [[row, row + 1 - y], [row + 1, y - row]]) {
    if (r < 0 || r >= CELLS) continue;
    if (column >= 0 && column < CELLS) sum += weight * (column + 1 - x) * mask[r * CELLS + column];
    if (column + 1 >= 0 && column + 1 < CELLS) sum += weight * (x - column) * mask[r * CELLS + column + 1];
  }
  return sum;
}
