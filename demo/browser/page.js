// Pick a detector and a picture, see its objects.

import * as ort from './node_modules/onnxruntime-web/dist/ort.wasm.min.mjs';
import { draw } from './draw.js';
import { readMetadata } from './metadata.js';

ort.env.wasm.numThreads = 1; // more need a server that isolates the page from other origins
ort.env.logLevel = 'error';

const element = (id) => document.getElementById(id);
let detector = null; // { session, about }
let pixels = null; // ImageData of the picture
let found = null; // { boxes, scores, labels, masks }, by name

element('model').addEventListener('change', (event) => attempt(() => open(event.target.files[0])));
element('picture').addEventListener('change', (event) => attempt(() => show(event.target.files[0])));
element('threshold').addEventListener('input', (event) => {
  element('shown').textContent = event.target.value;
  redraw();
});

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    say(error.message ?? String(error), true);
  }
}

function say(text, isError = false) {
  element('message').textContent = text;
  element('message').className = isError ? 'error' : '';
}

async function open(file) {
  say(`Reading ${file.name} ...`);
  detector = null;
  const bytes = new Uint8Array(await file.arrayBuffer());
  const about = readMetadata(bytes);
  if (about.task !== 'detection' || about.input !== 'uint8') {
    throw new Error(
      `${file.name} is no detector that takes pictures: make one with export_onnx.py --simplify-input uint8`,
    );
  }
  detector = { session: await ort.InferenceSession.create(bytes), about };
  say(pixels ? '' : 'Choose a picture.');
  await detect();
}

async function show(file) {
  const bitmap = await createImageBitmap(file);
  const canvas = element('canvas');
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  pixels = context.getImageData(0, 0, bitmap.width, bitmap.height);
  found = null;
  await detect(); // without a detector, the message goes on asking for it
}

async function detect() {
  if (!detector || !pixels) return;
  say('Looking ...');
  const start = performance.now();
  const image = new ort.Tensor('uint8', withoutAlpha(pixels), [1, pixels.height, pixels.width, 3]);
  const outputs = await detector.session.run({ image });
  found = Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, value.data]));
  say(`${found.scores.length} objects of any score in ${Math.round(performance.now() - start)} ms.`);
  redraw();
}

function redraw() {
  if (!found) return;
  const texts = draw(element('canvas'), pixels, found, detector.about, +element('threshold').value);
  element('objects').replaceChildren(
    ...texts.map((text) => Object.assign(document.createElement('li'), { textContent: text })),
  );
}

function withoutAlpha({ data, width, height }) {
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    rgb.set(data.subarray(4 * pixel, 4 * pixel + 3), 3 * pixel);
  }
  return rgb;
}
