import { type Bits, CS_32, CS_64, DATA_SELECTOR } from './image.ts';
import { codeBytes, type OracleCase } from './oracle-case.ts';

const RBP = 5;

/** How a `far` item gets to the item after it. */
export type FarKind = 'retf' | 'iret' | 'jmp' | 'call' | 'thunk';

export type Item =
  | { readonly kind: 'insn'; readonly c: OracleCase }
  /** A conditional jump over the next items. */
  | { readonly kind: 'skip'; readonly condition: number; readonly count: number }
  /** Ends a loop that begins `back` items earlier: DEC EBP, JNZ. */
  | { readonly kind: 'loop'; readonly back: number }
  /** Overwrites the immediate of a later or earlier `target` item. */
  | { readonly kind: 'store'; readonly target: number; readonly value: number }
  /** ADD r32, imm8. */
  | { readonly kind: 'target'; readonly register: number; readonly value: number }
  /** A few instructions that do not depend on their place, in hexadecimal. */
  | { readonly kind: 'bytes'; readonly code: string; readonly definesFlags: boolean }
  /** A jump over the next items through a register. */
  | { readonly kind: 'indirect'; readonly register: number; readonly count: number }
  /** A call, through a register if that is not negative, of what follows up to the next `ret`, where the program continues. */
  | { readonly kind: 'call'; readonly through: number }
  | { readonly kind: 'ret'; readonly release: number }
  /** A far transfer to the next item. A `thunk` goes through code of the other width. */
  | {
      readonly kind: 'far';
      readonly how: FarKind;
      readonly selector: number;
      /** Image of EFLAGS for IRET, summand of a thunk. */
      readonly value: number;
      readonly definesFlags: boolean;
    };

/** A program without item `n`; what refers to others follows. A call and its return go together. */
export function without(items: readonly Item[], n: number): Item[] {
  const kind = items[n]?.kind;
  if (kind !== 'call' && kind !== 'ret') return removed(items, n);
  const partner = items.findIndex((item, i) => i !== n && (item.kind === 'call' || item.kind === 'ret'));
  if (partner < 0) return removed(items, n);
  return removed(removed(items, Math.max(n, partner)), Math.min(n, partner));
}

function removed(items: readonly Item[], n: number): Item[] {
  return items.flatMap((item, i): Item[] => {
    if (i === n) return [];
    if (item.kind === 'store') {
      if (item.target === n) return [];
      return [{ ...item, target: item.target - (item.target > n ? 1 : 0) }];
    }
    if ((item.kind === 'skip' || item.kind === 'indirect') && n > i && n <= i + item.count)
      return [{ ...item, count: item.count - 1 }];
    if (item.kind === 'loop' && n < i && n >= i - item.back) return [{ ...item, back: item.back - 1 }];
    return [item];
  });
}

// ---- assembly

export interface Assembled {
  readonly code: Uint8Array;
  /** Offset of each item and of the end. */
  readonly offsets: readonly number[];
}

interface Place {
  readonly items: readonly Item[];
  readonly index: number;
  readonly bits: Bits;
  readonly offsets: readonly number[];
  /** Linear address of the first byte. */
  readonly base: number;
}

const le = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];

/** `base`: linear address of the first byte. */
export function assembleItems(items: readonly Item[], bits: Bits, base: number): Assembled {
  const size = (index: number): number => itemBytes({ items, index, bits, offsets: [], base }).length;
  const offsets = [0];
  for (let i = 0; i < items.length; i++) offsets.push(offsets.at(-1)! + size(i));
  const out: number[] = [];
  for (let index = 0; index < items.length; index++)
    out.push(...itemBytes({ items, index, bits, offsets, base }));
  return { code: Uint8Array.from(out), offsets };
}

/** Offset of item `n`, 0 while only lengths are of interest. */
const offsetOf = ({ offsets }: Place, n: number): number =>
  offsets[Math.max(0, Math.min(n, offsets.length - 1))] ?? 0;
const endOf = (place: Place): number => offsetOf(place, place.index + 1);

function itemBytes(place: Place): number[] {
  const { index, bits } = place;
  const item = place.items[index]!;
  const end = endOf(place);
  switch (item.kind) {
    case 'insn':
      return [...codeBytes(item.c.code)];
    case 'bytes':
      return [...codeBytes(item.code)];
    case 'skip':
      return [0x70 | item.condition, (offsetOf(place, index + 1 + item.count) - end) & 255];
    case 'loop': {
      const decrement = bits === 64 ? [0xff, 0xc8 | RBP] : [0x48 | RBP];
      return [...decrement, 0x75, (offsetOf(place, index - item.back) - end) & 255];
    }
    case 'store': {
      const address = place.base + offsetOf(place, item.target) + 2;
      const disp = bits === 64 ? address - (place.base + end) : address;
      return [0xc6, 0x05, ...le(disp), item.value];
    }
    case 'target':
      return [0x83, 0xc0 | item.register, item.value];
    case 'indirect':
      return [
        ...loadAddress(place, item.register, offsetOf(place, index + 1 + item.count)),
        0xff,
        0xe0 | item.register,
      ];
    case 'call':
      return callBytes(place, item.through);
    case 'ret':
      return item.release > 0 ? [0xc2, item.release, 0] : [0xc3];
    default:
      return bits === 64 ? far64(place, item) : far32(place, item);
  }
}

/** MOV r32, imm32: code addresses have 31 bits. */
function loadAddress({ base }: Place, register: number, offset: number): number[] {
  return [0xb8 | register, ...le(base + offset)];
}

/** The call returns to a jump behind the next `ret`. */
function callBytes(place: Place, through: number): number[] {
  const end = endOf(place);
  const ret = place.items.findIndex((item, i) => i > place.index && item.kind === 'ret');
  const after = offsetOf(place, ret + 1);
  const call = through < 0 ? [0xe8, 5, 0, 0, 0] : [...loadAddress(place, through, end), 0xff, 0xd0 | through];
  return [...call, 0xe9, ...le(after - end)];
}

type Far = Item & { readonly kind: 'far' };

const ADD_EAX = 0x05;

function far64(place: Place, { how, selector, value }: Far): number[] {
  const address = place.base + endOf(place);
  const pushAddress = [0x68, ...le(address)];
  if (how === 'iret') {
    const frame = [0x6a, DATA_SELECTOR, 0x54, 0x68, ...le(value), 0x68, ...le(selector), ...pushAddress];
    return [...frame, 0x48, 0xcf];
  }
  if (how !== 'thunk') return [0x68, ...le(selector), ...pushAddress, 0x48, 0xcb];
  const back = [ADD_EAX, ...le(value), 0xea, ...le(address), selector & 255, selector >> 8];
  return [0x6a, CS_32, 0x68, ...le(address - back.length), 0x48, 0xcb, ...back];
}

function far32(place: Place, { how, selector, value }: Far): number[] {
  const address = place.base + endOf(place);
  const target = [...le(address), selector & 255, selector >> 8];
  switch (how) {
    case 'iret':
      return [0x68, ...le(value), 0x68, ...le(selector), 0x68, ...le(address), 0xcf];
    case 'retf':
      return [0x68, ...le(selector), 0x68, ...le(address), 0xcb];
    case 'call':
      return [0x9a, ...target];
    case 'jmp':
      return [0xea, ...target];
    default: {
      const back = [ADD_EAX, ...le(value), 0x68, ...le(selector), 0x68, ...le(address), 0x48, 0xcb];
      return [0xea, ...le(address - back.length), CS_64, 0, ...back];
    }
  }
}
