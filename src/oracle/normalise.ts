import {
  type Bits,
  I_CR2,
  I_DS,
  I_ERROR,
  I_ES,
  I_FDP,
  I_FIP,
  I_FOP,
  I_FRAME_RSP,
  I_FS,
  I_FS_BASE,
  I_FSW,
  I_FTW,
  I_GPR,
  I_GS,
  I_RFLAGS,
  I_ST,
  I_VECTOR,
  I_XSAVE,
  I_XSTATE_BV,
  I_YMM_HI,
} from './image.ts';

const PAGE_FAULT = 14;
/** Exceptions that push an error code. */
const WITH_ERROR: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17]);

/** Clears in a final state what is not compared: undefined flags, and what the architecture or the host does not define. */
export function normalise(image: Uint8Array, view: DataView, bits: Bits, undefinedFlags: number): void {
  view.setUint32(I_RFLAGS, view.getUint32(I_RFLAGS, true) & ~undefinedFlags, true);
  const vector = view.getUint32(I_VECTOR, true);
  if (vector !== PAGE_FAULT) view.setBigUint64(I_CR2, 0n, true);
  if (!WITH_ERROR.has(vector)) view.setUint32(I_ERROR, 0, true);
  image.fill(0, I_FRAME_RSP, I_FRAME_RSP + 8);
  // a return from the host's kernel clears null selectors with a privilege level (AMD64 APM Vol. 3 IRET)
  for (const at of [I_ES, I_DS, I_FS, I_GS]) if (view.getUint16(at, true) < 4) view.setUint16(at, 0, true);
  if (bits === 32) narrow(image);
  x87(image, view);
}

function narrow(image: Uint8Array): void {
  image.fill(0, I_GPR + 64, I_GPR + 128);
  for (let i = 0; i < 8; i++) image.fill(0, I_GPR + i * 8 + 4, I_GPR + i * 8 + 8);
  image.fill(0, I_FS_BASE, I_FS_BASE + 16);
}

/**
 * The pointers to the last x87 instruction are compared only while an unmasked exception is pending: AMD's processors save them in
 * no other case (AMD64 APM Vol. 2 11.4.4), Intel's always do.
 */
function x87(image: Uint8Array, view: DataView): void {
  if ((view.getUint16(I_FSW, true) & 0x80) === 0) {
    view.setUint16(I_FOP, 0, true);
    view.setBigUint64(I_FIP, 0n, true);
    view.setBigUint64(I_FDP, 0n, true);
  }
  image[I_FTW + 1] = 0;
  image.fill(0, I_XSAVE + 28, I_XSAVE + 32);
  for (let i = 0; i < 8; i++) image.fill(0, I_ST + i * 16 + 10, I_ST + i * 16 + 16);
  image.fill(0, I_XSAVE + 416, I_YMM_HI);
  image.fill(0, I_XSTATE_BV, I_XSTATE_BV + 64);
}
