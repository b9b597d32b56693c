/** LZ4 in the legacy frame that Linux kernels use (LZ4 Frame Format Description, "Legacy frame"; LZ4 Block Format Description). */
import { UserError } from '../../util/errors.ts';

const MAGIC = 0x184c2102;
const BLOCK_BYTES = 8 << 20;

/** `UserError` for damaged data or more than `limitBytes`. */
export function lz4LegacyDecompress(input: Uint8Array, limitBytes: number): Uint8Array {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const blocks: Uint8Array[] = [];
  let total = 0;
  for (let at = 4; at + 4 <= input.length; ) {
    const size = view.getUint32(at, true);
    at += 4;
    if (size === MAGIC) continue;
    // The kernel's build appends the size of the result.
    if (size === 0 || size > input.length - at) break;
    const block = decodeBlock(input.subarray(at, at + size));
    total += block.length;
    if (total > limitBytes) throw damaged();
    blocks.push(block);
    at += size;
  }
  const out = new Uint8Array(total);
  let end = 0;
  for (const block of blocks) {
    out.set(block, end);
    end += block.length;
  }
  return out;
}

function damaged(): UserError {
  return new UserError('BadCompression', 'damaged LZ4 data');
}

function decodeBlock(input: Uint8Array): Uint8Array {
  const out = new Uint8Array(BLOCK_BYTES);
  let from = 0;
  let to = 0;
  const length = (nibble: number): number => {
    let sum = nibble;
    if (nibble === 15) {
      for (let byte = 255; byte === 255; sum += byte) {
        if (from >= input.length) throw damaged();
        byte = input[from++]!;
      }
    }
    return sum;
  };
  while (from < input.length) {
    const token = input[from++]!;
    const literals = length(token >> 4);
    if (from + literals > input.length || to + literals > BLOCK_BYTES) throw damaged();
    out.set(input.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from >= input.length) break;
    const distance = input[from]! | (input[from + 1]! << 8);
    from += 2;
    const count = length(token & 15) + 4;
    if (distance === 0 || distance > to || to + count > BLOCK_BYTES) throw damaged();
    for (let i = 0; i < count; i++, to++) out[to] = out[to - distance]!;
  }
  return out.subarray(0, to);
}
