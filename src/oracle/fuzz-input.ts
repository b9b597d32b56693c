import { POINTERS, type Program } from './fuzz-program.ts';
import {
  CODE,
  CS_32,
  CS_64,
  DATA,
  DATA_SELECTOR,
  DATA_SIZE,
  I_CS,
  I_ES,
  I_FCW,
  I_FTW,
  I_GPR,
  I_MXCSR,
  I_RFLAGS,
  I_RIP,
  I_RSP,
  I_SS,
  I_ST,
  I_XMM,
  I_XSTATE_BV,
  I_YMM_HI,
  IMAGE_SIZE,
} from './image.ts';
import { Random } from './random.ts';
import { putExtended, putInteger, putVector } from './values.ts';

const RBP = 5;

/** The state that a program starts from; everything follows from the seed and the number of the input. */
export function fuzzInput(
  program: Pick<Program, 'bits' | 'offset'>,
  seed: number,
  input: number,
): { image: Uint8Array; data: Uint8Array } {
  const random = new Random((seed ^ Math.imul(input + 1, 0x9e37_79b1)) >>> 0);
  const image = new Uint8Array(IMAGE_SIZE);
  const view = new DataView(image.buffer);
  const data = new Uint8Array(DATA_SIZE);
  general(view, program, random);
  for (let i = 0; i < 16; i++) {
    putVector(view, I_XMM + i * 16, 16, 'any', random);
    putVector(view, I_YMM_HI + i * 16, 16, 'any', random);
  }
  for (let i = 0; i < 8; i++) putExtended(view, I_ST + i * 16, random);
  view.setUint16(I_FCW, random.chance(80) ? 0x37f : 0x40 | (random.u32() & 0xf3f), true);
  view.setUint16(I_FTW, random.chance(60) ? 0 : random.u32() & 255, true);
  view.setUint32(I_MXCSR, random.chance(60) ? 0x1fa0 : 0x1f80 | (random.u32() & 0xe07f), true);
  view.setUint32(I_XSTATE_BV, 7, true);
  const memory = new DataView(data.buffer);
  for (let i = 0; i < 64; i++) putVector(memory, 8 * random.below(DATA_SIZE / 8), 8, 'any', random);
  return { image, data };
}

function general(view: DataView, program: Pick<Program, 'bits' | 'offset'>, random: Random): void {
  const wide = program.bits === 64;
  for (let i = 0; i < 16; i++) putInteger(view, I_GPR + i * 8, random);
  const set = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  for (const n of POINTERS) set(I_GPR + n * 8, DATA + pointerOffset(random));
  set(I_RSP, DATA + 0x1000 + (random.chance(10) ? random.below(16) : 8 * random.below(8)));
  set(I_GPR + RBP * 8, 1 + random.below(6));
  set(I_RIP, CODE + program.offset);
  set(I_CS, wide ? CS_64 : CS_32);
  set(I_SS, DATA_SELECTOR);
  for (let i = 0; i < 4; i++) view.setUint16(I_ES + i * 2, wide ? 0 : DATA_SELECTOR, true);
  set(I_RFLAGS, (random.u32() & 0x8d5) | 0x202);
}

/** Mostly aligned inside the window, sometimes near the boundary of its pages or its end. */
function pointerOffset(random: Random): number {
  const kind = random.below(8);
  if (kind < 5) return 0x400 + 64 * random.below(64);
  if (kind < 6) return 0x1000 - 16 + random.below(32);
  if (kind < 7) return 0x800 + random.below(0x800);
  return DATA_SIZE - random.below(0x200);
}
