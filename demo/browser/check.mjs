// Opens the page in headless Chromium, picks a detector and a picture, and writes what is seen:
// node check.mjs MODEL.onnx PICTURE OUT.png
// CHROMIUM is the browser's path (/usr/bin/chromium). Prints the objects, and fails if the page does.

import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const KINDS = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const PATIENCE = 120_000; // ms

const [model, picture, out] = process.argv.slice(2);
if (!out) {
  console.error('node check.mjs MODEL.onnx PICTURE OUT.png');
  process.exit(2);
}

const server = createServer((request, response) => {
  const path = join(HERE, normalize(new URL(request.url, 'http://localhost').pathname));
  const file = path.endsWith('/') ? `${path}index.html` : path;
  if (!existsSync(file)) return response.writeHead(404).end();
  response.writeHead(200, { 'Content-Type': KINDS[extname(file)] ?? 'application/octet-stream' });
  createReadStream(file).pipe(response);
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
let failed = true;
try {
  const page = await browser.newPage({ viewport: { width: 900, height: 900 } });
  page.on('pageerror', (error) => console.error('page:', error.message));
  page.on('console', (message) => message.type() === 'error' && console.error('page:', message.text()));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.setInputFiles('#model', model);
  await page.setInputFiles('#picture', picture);
  const message = page.locator('#message');
  await page.waitForFunction(
    () => /objects of any score/.test(document.querySelector('#message').textContent)
      || document.querySelector('#message').className === 'error',
    undefined, { timeout: PATIENCE },
  );
  console.log(await message.textContent());
  for (const text of await page.locator('#objects li').allTextContents()) console.log(text);
  await page.screenshot({ path: out });
  failed = (await message.getAttribute('class')) === 'error';
} finally {
  await browser.close();
  server.close();
}
process.exit(failed ? 1 : 0);
