/**
 * State of the interrupt controllers and the timer between the kernel's structures and the declared states of the board's own models
 * (`apic`, `ioapic`, `i8259`, `i8254`): pure functions over saved fields, so that either side can continue what the other began.
 */
import type { Saved, SavedState } from '../../core/vmstate.ts';
import { LAPIC_SIZE, PIT_CHANNEL_SIZE, PIT_STATE_SIZE } from './bindings/x86.ts';

type Record_ = { readonly [name: string]: Saved };
const CHIP_BYTES = 512;
const number = (fields: Record_, name: string): number => Number(fields[name] ?? 0);
const flag = (fields: Record_, name: string): number => (fields[name] === true ? 1 : 0);
const list = (fields: Record_, name: string): readonly number[] => (fields[name] ?? []) as readonly number[];
const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function withFields(saved: SavedState, changes: Record_): SavedState {
  return { ...saved, fields: { ...saved.fields, ...changes } };
}

// ---- 8259 pair: struct kvm_pic_state, all bytes

const PIC = {
  lastIrr: 0,
  irr: 1,
  imr: 2,
  isr: 3,
  firstInput: 4,
  vectorBase: 5,
  readIsr: 6,
  poll: 7,
  specialMask: 8,
  /** 0: ready, else the ICW that comes next less 1. */
  initState: 9,
  autoEoi: 10,
  rotate: 11,
  specialFullyNested: 12,
  /** ICW4 is to come. */
  init4: 13,
  elcr: 14,
  elcrMask: 15,
} as const;
const ELCR_MASKS = [0xf8, 0xde] as const;

export function picToKernel(saved: SavedState, chip: 0 | 1): Uint8Array {
  const fields = (saved.fields['chips'] as readonly Record_[])[chip]!;
  const out = new Uint8Array(CHIP_BYTES);
  const nextIcw = number(fields, 'nextIcw');
  out[PIC.lastIrr] = number(fields, 'lines');
  for (const name of ['irr', 'imr', 'isr', 'firstInput', 'vectorBase', 'elcr'] as const)
    out[PIC[name]] = number(fields, name);
  for (const name of ['readIsr', 'poll', 'specialMask', 'autoEoi', 'specialFullyNested'] as const)
    out[PIC[name]] = flag(fields, name);
  out[PIC.rotate] = flag(fields, 'rotateOnAutoEoi');
  out[PIC.initState] = nextIcw === 0 ? 0 : nextIcw - 1;
  out[PIC.init4] = flag(fields, 'needsIcw4');
  out[PIC.elcrMask] = ELCR_MASKS[chip];
  return out;
}

/** `lines`: present levels of ISA interrupts 0 to 15. */
export function picsFromKernel(
  saved: SavedState,
  chips: readonly [Uint8Array, Uint8Array],
  lines: number,
): SavedState {
  const before = saved.fields['chips'] as readonly Record_[];
  const next = chips.map((bytes, chip) => {
    const on = (at: number): boolean => bytes[at] !== 0;
    const initState = bytes[PIC.initState]!;
    return {
      ...before[chip],
      lines: (lines >> (8 * chip)) & 0xff,
      irr: bytes[PIC.irr]!,
      imr: bytes[PIC.imr]!,
      isr: bytes[PIC.isr]!,
      elcr: bytes[PIC.elcr]!,
      firstInput: bytes[PIC.firstInput]! & 7,
      vectorBase: bytes[PIC.vectorBase]!,
      nextIcw: initState === 0 ? 0 : Math.min(4, initState + 1),
      needsIcw4: on(PIC.init4),
      readIsr: on(PIC.readIsr),
      poll: on(PIC.poll),
      specialMask: on(PIC.specialMask),
      autoEoi: on(PIC.autoEoi),
      rotateOnAutoEoi: on(PIC.rotate),
      specialFullyNested: on(PIC.specialFullyNested),
    };
  });
  return withFields(saved, { chips: next });
}

/** Levels of ISA interrupts 0 to 15 of a saved 8259 pair. */
export function isaLines({ fields }: SavedState): number {
  const [master, slave] = fields['chips'] as readonly Record_[];
  return number(master!, 'lines') | (number(slave!, 'lines') << 8);
}

// ---- I/O APIC: struct kvm_ioapic_state

const IOAPIC_PINS = 24;
const IOAPIC_BASE_ADDRESS = 0xfec0_0000n;
const IOAPIC_SELECT = 8;
const IOAPIC_ID = 12;
const IOAPIC_IRR = 16;
const IOAPIC_TABLE = 24;

export function ioapicToKernel({ fields }: SavedState): Uint8Array {
  const out = new Uint8Array(CHIP_BYTES);
  const view = viewOf(out);
  view.setBigUint64(0, IOAPIC_BASE_ADDRESS, true);
  view.setUint32(IOAPIC_SELECT, number(fields, 'select'), true);
  view.setUint32(IOAPIC_ID, number(fields, 'id'), true);
  view.setUint32(IOAPIC_IRR, number(fields, 'irr'), true);
  for (let pin = 0; pin < IOAPIC_PINS; pin++) {
    view.setUint32(IOAPIC_TABLE + 8 * pin, list(fields, 'low')[pin]!, true);
    view.setUint32(IOAPIC_TABLE + 8 * pin + 4, list(fields, 'high')[pin]!, true);
  }
  return out;
}

/** `lines`: present levels of the 24 inputs. */
export function ioapicFromKernel(saved: SavedState, bytes: Uint8Array, lines: number): SavedState {
  const view = viewOf(bytes);
  const entries = (half: number): number[] =>
    Array.from({ length: IOAPIC_PINS }, (_, pin) => view.getUint32(IOAPIC_TABLE + 8 * pin + half, true));
  return withFields(saved, {
    id: view.getUint32(IOAPIC_ID, true) & 15,
    select: view.getUint32(IOAPIC_SELECT, true) & 0xff,
    irr: view.getUint32(IOAPIC_IRR, true),
    lines: lines >>> 0,
    low: entries(0),
    high: entries(4),
  });
}

// ---- local APIC: the register page, 16 bytes apart (SDM Vol. 3A table 10-1)

const WORDS: ReadonlyArray<readonly [string, number]> = [
  ['tpr', 0x08],
  ['ldr', 0x0d],
  ['dfr', 0x0e],
  ['svr', 0x0f],
  ['esr', 0x28],
  ['icrLo', 0x30],
  ['icrHi', 0x31],
  ['initialCount', 0x38],
  ['divide', 0x3e],
];
const LISTS: ReadonlyArray<readonly [string, number, number]> = [
  ['isr', 0x10, 8],
  ['tmr', 0x18, 8],
  ['irr', 0x20, 8],
  ['lvt', 0x32, 6],
];
const ID = 0x02;
const VERSION = 0x03;
const LVT_TIMER = 0x32;
const INITIAL_COUNT = 0x38;
const CURRENT_COUNT = 0x39;
const DIVIDE = 0x3e;
const VERSION_VALUE = 0x5_0014;

/** Nanoseconds of one count: both sides count a bus clock of 1 GHz (figure 10-10). */
function tickNs(divide: number): number {
  return 1 << ((((divide & 3) | ((divide >> 1) & 4)) + 1) & 7);
}

/** The register page. IA32_APIC_BASE and IA32_TSC_DEADLINE go beside it. */
export function lapicToKernel({ fields }: SavedState, nowNs: number): Uint8Array {
  const out = new Uint8Array(LAPIC_SIZE);
  const view = viewOf(out);
  const set = (register: number, value: number): void => view.setUint32(16 * register, value >>> 0, true);
  for (const [name, register] of WORDS) set(register, number(fields, name));
  for (const [name, first, count] of LISTS)
    for (let i = 0; i < count; i++) set(first + i, list(fields, name)[i]!);
  set(ID, number(fields, 'id') << 24);
  set(VERSION, VERSION_VALUE);
  const initial = number(fields, 'initialCount');
  const ticks = Math.max(
    0,
    Math.floor((nowNs - number(fields, 'startNs')) / tickNs(number(fields, 'divide'))),
  );
  const isPeriodic = ((list(fields, 'lvt')[0]! >>> 17) & 3) === 1;
  set(
    CURRENT_COUNT,
    initial === 0 ? 0 : isPeriodic ? initial - (ticks % initial) : Math.max(0, initial - ticks),
  );
  return out;
}

/** IA32_APIC_BASE of a saved local APIC. */
export function apicBaseOf({ fields }: SavedState): bigint {
  return (BigInt(number(fields, 'baseHi')) << 32n) | BigInt(number(fields, 'baseLo'));
}

export function tscDeadlineOf({ fields }: SavedState): bigint {
  return (BigInt(number(fields, 'deadlineHi')) << 32n) | BigInt(number(fields, 'deadlineLo'));
}

export function lapicFromKernel(
  saved: SavedState,
  page: Uint8Array,
  more: { readonly apicBase: bigint; readonly tscDeadline: bigint; readonly nowNs: number },
): SavedState {
  const view = viewOf(page);
  const get = (register: number): number => view.getUint32(16 * register, true);
  const changes: Record<string, Saved> = {};
  for (const [name, register] of WORDS) changes[name] = get(register);
  for (const [name, first, count] of LISTS)
    changes[name] = Array.from({ length: count }, (_, i) => get(first + i));
  const initial = get(INITIAL_COUNT);
  const current = get(CURRENT_COUNT);
  const mode = (get(LVT_TIMER) >>> 17) & 3;
  changes['startNs'] = Math.floor(more.nowNs - Math.max(0, initial - current) * tickNs(get(DIVIDE)));
  changes['isCounting'] = mode <= 1 && initial !== 0 && (mode === 1 || current !== 0);
  changes['baseLo'] = Number(more.apicBase & 0xffff_ffffn);
  changes['baseHi'] = Number(more.apicBase >> 32n);
  changes['deadlineLo'] = Number(more.tscDeadline & 0xffff_ffffn);
  changes['deadlineHi'] = Number(more.tscDeadline >> 32n);
  changes['newErrors'] = 0;
  return withFields(saved, changes);
}

// ---- 8254: struct kvm_pit_state2, three channels and flags. When a count began is not carried over: it begins anew.

const PIT = {
  count: 0,
  latched: 4,
  countLatched: 6,
  statusLatched: 7,
  status: 8,
  readState: 9,
  writeState: 10,
  writeLatch: 11,
  rw: 12,
  mode: 13,
  bcd: 14,
  gate: 15,
} as const;
const PIT_FLAGS = 72;
const HPET_LEGACY = 1;
/** Read and write states: 3 the low byte of a word comes next, 4 the high byte. */
const WORD_LOW = 3;
const WORD_HIGH = 4;

function accessState(rw: number, isHigh: boolean): number {
  return rw === 3 ? (isHigh ? WORD_HIGH : WORD_LOW) : rw;
}

export function pitToKernel({ fields }: SavedState): Uint8Array {
  const out = new Uint8Array(PIT_STATE_SIZE);
  const view = viewOf(out);
  (fields['channels'] as readonly Record_[]).forEach((channel, n) => {
    const at = n * PIT_CHANNEL_SIZE;
    const rw = number(channel, 'rw');
    const count = number(channel, 'count');
    view.setUint32(at + PIT.count, channel['loaded'] === true && count === 0 ? 0x1_0000 : count, true);
    view.setUint16(at + PIT.latched, number(channel, 'latch'), true);
    out[at + PIT.countLatched] = number(channel, 'latchedBytes') === 0 ? 0 : rw;
    out[at + PIT.statusLatched] = flag(channel, 'statusLatched');
    out[at + PIT.status] = number(channel, 'status');
    out[at + PIT.readState] = accessState(rw, channel['readHigh'] === true);
    out[at + PIT.writeState] = accessState(rw, channel['writeHigh'] === true);
    out[at + PIT.writeLatch] = number(channel, 'writeLatch');
    out[at + PIT.rw] = rw;
    out[at + PIT.mode] = number(channel, 'mode');
    out[at + PIT.bcd] = flag(channel, 'bcd');
    out[at + PIT.gate] = flag(channel, 'gate');
  });
  view.setUint32(PIT_FLAGS, fields['irqEnabled'] === true ? 0 : HPET_LEGACY, true);
  return out;
}

export function pitFromKernel(saved: SavedState, bytes: Uint8Array, nowNs: number): SavedState {
  const view = viewOf(bytes);
  const before = saved.fields['channels'] as readonly Record_[];
  const channels = before.map((channel, n) => {
    const at = n * PIT_CHANNEL_SIZE;
    const count = view.getUint32(at + PIT.count, true);
    const gate = bytes[at + PIT.gate] !== 0;
    const mode = Math.min(5, bytes[at + PIT.mode]!);
    return {
      ...channel,
      mode,
      bcd: bytes[at + PIT.bcd] !== 0,
      rw: bytes[at + PIT.rw]! & 3,
      count: count & 0xffff,
      loaded: count !== 0,
      gate,
      triggered: mode === 1 || mode === 5,
      startNs: nowNs,
      heldTicks: gate || mode === 1 || mode === 5 ? -1 : 0,
      writeHigh: bytes[at + PIT.writeState] === WORD_HIGH,
      writeLatch: bytes[at + PIT.writeLatch]!,
      readHigh: bytes[at + PIT.readState] === WORD_HIGH,
      latchedBytes: bytes[at + PIT.countLatched] === 0 ? 0 : bytes[at + PIT.rw] === 3 ? 2 : 1,
      latch: view.getUint16(at + PIT.latched, true),
      statusLatched: bytes[at + PIT.statusLatched] !== 0,
      status: bytes[at + PIT.status]!,
    };
  });
  const irqEnabled = (view.getUint32(PIT_FLAGS, true) & HPET_LEGACY) === 0;
  const first = channels[0]!;
  const nextIrqNs = irqEnabled && first.loaded ? nowNs + 1 : Number.POSITIVE_INFINITY;
  return withFields(saved, { channels, irqEnabled, nextIrqNs });
}
