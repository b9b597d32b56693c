import { I_FSW, I_RIP, I_VECTOR, NO_VECTOR } from './image.ts';
import { normalise } from './normalise.ts';

/** C0 … C3: some x87 instructions leave them undefined. */
const CONDITION_CODES = 0x4700;

/** Clears in the final state of a program what is not compared: flags undefined where it ended, x87 condition codes. */
export function normaliseSequence(
  image: Uint8Array,
  bits: 32 | 64,
  base: number,
  offsets: readonly number[],
  undefinedFlags: readonly number[],
): void {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const vector = view.getUint32(I_VECTOR, true);
  const at = view.getUint32(I_RIP, true) - base;
  const end = offsets.length - 1;
  // items of several instructions define flags at their end only
  let item = end;
  if (vector !== NO_VECTOR) while (item > 0 && offsets[item]! > at) item--;
  // a return to anywhere
  const isElsewhere = vector !== NO_VECTOR && (at < 0 || at > offsets[end]!);
  const undefinedHere = isElsewhere
    ? undefinedFlags.reduce((all, each) => all | each, 0)
    : undefinedFlags[item]!;
  view.setUint16(I_FSW, view.getUint16(I_FSW, true) & ~CONDITION_CODES, true);
  normalise(image, view, bits, undefinedHere);
}
