// What an exported file says of itself, which onnxruntime-web does not tell.
//
// An ONNX file is a protocol buffer: fields, each a number and a kind, then a value. Field 14 of the
// outermost message are the metadata, messages of a key (1) and a value (2).

const METADATA = 14;
const PLAIN = ['task', 'input', 'color_order', 'backbone', 'arch', 'config', 'checkpoint', 'version'];

export function readMetadata(bytes) {
  const about = {};
  for (const { number, value } of fields(bytes)) {
    if (number !== METADATA) continue;
    const [key, text] = [1, 2].map((part) => {
      const field = [...fields(value)].find((one) => one.number === part);
      return new TextDecoder().decode(field?.value ?? new Uint8Array());
    });
    about[key] = PLAIN.includes(key) ? text : parsed(text);
  }
  return about;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text; // of another program's file
  }
}

// The fields of a message; the value is that of a field of bytes, and of no other kind.
function* fields(bytes) {
  const reader = { bytes, at: 0 };
  while (reader.at < bytes.length) {
    const key = varint(reader);
    const number = Math.floor(key / 8);
    const kind = key % 8;
    let value;
    if (kind === 0) varint(reader);
    else if (kind === 1) reader.at += 8;
    else if (kind === 5) reader.at += 4;
    else if (kind === 2) {
      const length = varint(reader);
      value = bytes.subarray(reader.at, reader.at + length);
      reader.at += length;
    } else throw new Error('this is no ONNX file');
    if (reader.at > bytes.length) throw new Error('this file is truncated, or no ONNX file');
    yield { number, value };
  }
}

function varint(reader) {
  let [value, factor, byte] = [0, 1, 0x80];
  while (byte & 0x80) {
    if (reader.at >= reader.bytes.length) throw new Error('this file is truncated, or no ONNX file');
    byte = reader.bytes[reader.at++];
    value += (byte & 0x7f) * factor;
    factor *= 128;
  }
  return value;
}
