import type { FarKind, Item } from './fuzz-items.ts';
import { type Bits, CS_32, CS_64, DATA_SELECTOR } from './image.ts';
import type { Random } from './random.ts';

const hex = (...bytes: readonly number[]): string =>
  bytes.map((byte) => (byte & 255).toString(16).padStart(2, '0')).join('');
const le32 = (n: number): number[] => [n, n >> 8, n >> 16, n >>> 24];

const MOVS = 0xa4;
const CMPS = 0xa6;
const STOS = 0xaa;
const LODS = 0xac;
const SCAS = 0xae;

/** MOV ECX, count; a string instruction of any width, direction, address size and repetition. */
function string(bits: Bits, random: Random): Item {
  const opcode = random.pick([MOVS, MOVS, CMPS, STOS, STOS, LODS, SCAS]);
  const repeat = random.pick([[], [0xf3], [0xf3], [0xf2]]);
  const width = random.pick([[0], [1], [0x66, 1], ...(bits === 64 ? [[0x48, 1]] : [])]);
  const short = bits === 64 && random.chance(15) ? [0x67] : [];
  const prefixes = [...short, ...repeat, ...width.slice(0, -1)];
  const count = random.pick([0, 1, 2, random.below(16), random.below(100), random.below(700)]);
  const backwards = random.chance(25);
  const compares = opcode === CMPS || opcode === SCAS;
  return {
    kind: 'bytes',
    code: hex(
      ...[0xb9, ...le32(count)],
      ...(backwards ? [0xfd] : []),
      ...prefixes,
      opcode | width.at(-1)!,
      ...(backwards ? [0xfc] : []),
    ),
    definesFlags: compares && repeat.length === 0,
  };
}

/** FNSTSW AX without the condition codes, some of which are undefined: AND AX, B8FF. */
const STATUS_WORD: Item = { kind: 'bytes', code: 'dfe06625ffb8', definesFlags: true };

/** LDMXCSR of a value on the stack. */
function control(random: Random): Item {
  const value = 0x1f80 | (random.chance(50) ? random.u32() & 0xe07f : 0x20);
  const masks = random.chance(80) ? value : value & ~(random.u32() & 0x1f80);
  return { kind: 'bytes', code: `c74424f0${hex(...le32(masks))}0fae5424f0`, definesFlags: false };
}

/** Arithmetic flags, DF, AC and ID, and reserved bits, which read as they must. */
function flagsImage(random: Random): number {
  const rare = random.chance(15) ? random.pick([0x4_0000, 0x20_0000, 0x28, 0x400]) : 0;
  return 0x202 | (random.u32() & 0x8d5) | rare;
}

const FAR: Readonly<Record<Bits, readonly FarKind[]>> = {
  32: ['retf', 'iret', 'jmp', 'call', 'thunk'],
  64: ['retf', 'iret', 'thunk'],
};

/** A far transfer, now and then with a selector that cannot be loaded. */
function far(bits: Bits, random: Random): Item {
  const how = random.pick(FAR[bits]);
  const own = bits === 64 ? CS_64 : CS_32;
  const selector = random.chance(90) ? own : random.pick([0, 3, DATA_SELECTOR, own & ~3, 0xfff8, 0x7ff3]);
  const value = how === 'iret' ? flagsImage(random) : random.u32() | 0;
  return { kind: 'far', how, selector, value, definesFlags: how === 'iret' || how === 'thunk' };
}

/** An item of several instructions, or one that the tables alone do not give. */
export function randomSpecial(bits: Bits, random: Random): Item {
  const kind = random.below(10);
  if (kind < 5) return string(bits, random);
  if (kind < 7) return far(bits, random);
  if (kind < 8) return { kind: 'indirect', register: random.pick([0, 1, 2]), count: random.below(4) };
  return kind < 9 ? control(random) : STATUS_WORD;
}
