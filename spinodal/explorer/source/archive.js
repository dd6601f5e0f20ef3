// Files that hold arrays: .safetensors, and .npz with its .npy inside. Errors are one sentence for the reader.

const TENSORS = {
  F32: Float32Array,
  F64: Float64Array,
  BOOL: Uint8Array,
  I64: BigInt64Array,
  I32: Int32Array,
};
const ARRAYS = { f4: Float32Array, f8: Float64Array, b1: Uint8Array, i8: BigInt64Array, i4: Int32Array };

function numbersAt(buffer, from, to, type) {
  const data = new type(buffer.slice(from, to));
  return data instanceof BigInt64Array ? Float64Array.from(data, Number) : data;
}

/** The arrays of a .safetensors file, by name: {shape, data}. */
export function readSafetensors(buffer) {
  const damaged = new Error("This is no .safetensors file, or it is damaged: its header cannot be read.");
  if (buffer.byteLength < 8) throw damaged;
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  if (size > buffer.byteLength - 8) throw damaged;
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  } catch {
    throw damaged;
  }
  const arrays = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const type = TENSORS[entry.dtype];
    if (!type) throw new Error(`The array ${name} has numbers of type ${entry.dtype}; F32 and F64 are read.`);
    const [from, to] = entry.data_offsets.map((offset) => 8 + size + offset);
    const length = entry.shape.reduce((product, part) => product * part, 1) * type.BYTES_PER_ELEMENT;
    if (to > buffer.byteLength || to - from !== length) {
      throw new Error(`The file ends before its array ${name} does: it is damaged or was cut short.`);
    }
    arrays[name] = { shape: entry.shape, data: numbersAt(buffer, from, to, type) };
  }
  return arrays;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).arrayBuffer();
}

/** The files of a .zip, by name, as buffers. */
async function unzipped(buffer) {
  const view = new DataView(buffer);
  let at = buffer.byteLength - 22;
  while (at >= 0 && view.getUint32(at, true) !== 0x06054b50) at--;
  if (at < 0)
    throw new Error("This is no .npz file, or it was cut short: it has no list of arrays at its end.");
  const files = {};
  let entry = view.getUint32(at + 16, true);
  for (let left = view.getUint16(at + 10, true); left > 0; left--) {
    const [method, packed] = [view.getUint16(entry + 10, true), view.getUint32(entry + 20, true)];
    const [nameSize, extra] = [view.getUint16(entry + 28, true), view.getUint16(entry + 30, true)];
    const local = view.getUint32(entry + 42, true);
    const name = new TextDecoder().decode(new Uint8Array(buffer, entry + 46, nameSize));
    const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const bytes = new Uint8Array(buffer, from, packed);
    files[name] = method === 0 ? bytes.slice().buffer : await inflated(bytes);
    entry += 46 + nameSize + extra + view.getUint16(entry + 32, true);
  }
  return files;
}

/** One .npy array: {shape, data}; null for one of a type that is not read. */
function readNpy(buffer) {
  const view = new DataView(buffer);
  const wide = view.getUint8(6) > 1;
  const from = wide ? 12 : 10;
  const size = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder().decode(new Uint8Array(buffer, from, size));
  const type = ARRAYS[header.match(/'descr':\s*'[<|]?(\w+)'/)?.[1]];
  if (!type || /'fortran_order':\s*True/.test(header)) return null;
  const shape = (header.match(/'shape':\s*\(([^)]*)\)/)[1].match(/\d+/g) ?? []).map(Number);
  const length = shape.reduce((product, part) => product * part, 1) * type.BYTES_PER_ELEMENT;
  return { shape, data: numbersAt(buffer, from + size, from + size + length, type) };
}

/** The arrays of an .npz file, by name: {shape, data}. */
export async function readNpz(buffer) {
  let files;
  try {
    files = await unzipped(buffer);
  } catch (error) {
    if (error.message.startsWith("This is")) throw error;
    throw new Error("This .npz file is damaged: its arrays cannot be unpacked.");
  }
  const arrays = {};
  for (const [name, content] of Object.entries(files)) {
    const array = readNpy(content);
    if (array) arrays[name.replace(/\.npy$/, "")] = array;
  }
  return arrays;
}

/** An .npy file of doubles [n d]. */
export function npyOf(data, n, d) {
  const text = `{'descr': '<f8', 'fortran_order': False, 'shape': (${n}, ${d}), }`;
  const padded = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const head = new Uint8Array(10 + padded.length);
  head.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  head.set(new TextEncoder().encode(padded), 10);
  return new Blob([head, Float64Array.from(data)]);
}
