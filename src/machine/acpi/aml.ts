/**
 * ACPI Machine Language: one function per term, each returning the encoded bytes (ACPI Specification 6.5, chapter 20).
 * Names are written as in ASL: `\_SB.PCI0`, `^LNKA`, `_HID`; a segment shorter than four characters is padded.
 */
import { assert } from '../../util/errors.ts';

export type Term = readonly number[];

const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const EXT_OP_PREFIX = 0x5b;

function segment(text: string): number[] {
  assert(/^[A-Z_][A-Z0-9_]{0,3}$/.test(text), `bad ACPI name segment "${text}"`);
  return [...text.padEnd(4, '_')].map((c) => c.charCodeAt(0));
}

/** NameString (20.2.2). */
export function nameString(path: string): Term {
  const prefix = /^(\\|\^*)/.exec(path)![0];
  const rest = path.slice(prefix.length);
  const out = [...prefix].map((c) => c.charCodeAt(0));
  const segments = rest === '' ? [] : rest.split('.');
  if (segments.length === 0) out.push(0);
  else if (segments.length === 2) out.push(0x2e);
  else if (segments.length > 2) out.push(0x2f, segments.length);
  for (const s of segments) out.push(...segment(s));
  return out;
}

/** PkgLength (20.2.4) of a body of `bodyLength` bytes; the length counts its own encoding. */
export function pkgLength(bodyLength: number): Term {
  if (bodyLength + 1 < 0x40) return [bodyLength + 1];
  for (let extra = 1; extra <= 3; extra++) {
    const total = bodyLength + 1 + extra;
    if (total >= 2 ** (4 + 8 * extra)) continue;
    const out = [(extra << 6) | (total & 15)];
    for (let i = 0; i < extra; i++) out.push((total >>> (4 + 8 * i)) & 0xff);
    return out;
  }
  throw new RangeError('AML package too long');
}

function packaged(opcode: Term, body: Term): Term {
  // `concat` copies; a spread would step through every byte at each level
  return opcode.concat(pkgLength(body.length), body);
}

function littleEndian(value: number | bigint, bytes: number): number[] {
  const v = BigInt(value);
  return Array.from({ length: bytes }, (_, i) => Number((v >> BigInt(8 * i)) & 0xffn));
}

/** The shortest encoding of an unsigned integer (ComputationalData, 20.2.3). */
export function integer(value: number | bigint): Term {
  const v = BigInt(value);
  if (v === 0n) return [ZERO_OP];
  if (v === 1n) return [ONE_OP];
  if (v <= 0xffn) return [0x0a, ...littleEndian(v, 1)];
  if (v <= 0xffffn) return [0x0b, ...littleEndian(v, 2)];
  if (v <= 0xffffffffn) return [0x0c, ...littleEndian(v, 4)];
  return [0x0e, ...littleEndian(v, 8)];
}

export function string(text: string): Term {
  return [0x0d, ...[...text].map((c) => c.charCodeAt(0) & 0x7f), 0];
}

/** Compressed EISA identifier, `PNP0501` (19.3.4). */
export function eisaId(id: string): Term {
  assert(/^[A-Z]{3}[0-9A-F]{4}$/.test(id), `bad EISA id "${id}"`);
  const letter = (i: number): number => id.charCodeAt(i) - 0x40;
  const maker = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  const product = Number.parseInt(id.slice(3), 16);
  return [0x0c, maker >> 8, maker & 0xff, product >> 8, product & 0xff];
}

export function buffer(bytes: Term): Term {
  return packaged([0x11], integer(bytes.length).concat(bytes));
}

export function pack(...elements: readonly Term[]): Term {
  return packaged([0x12], [elements.length].concat(...elements));
}

export function name(path: string, value: Term): Term {
  return [0x08].concat(nameString(path), value);
}

export function scope(path: string, ...terms: readonly Term[]): Term {
  return packaged([0x10], nameString(path).concat(...terms));
}

export function device(path: string, ...terms: readonly Term[]): Term {
  return packaged([EXT_OP_PREFIX, 0x82], nameString(path).concat(...terms));
}

export interface MethodOptions {
  readonly args?: number;
  readonly serialized?: boolean;
}

export function method(path: string, options: MethodOptions, ...terms: readonly Term[]): Term {
  const flags = (options.args ?? 0) | (options.serialized === true ? 8 : 0);
  return packaged([0x14], nameString(path).concat(flags, ...terms));
}

/** RegionSpace values of `operationRegion` (5.5.2.4). */
export const SPACE_MEMORY = 0;
export const SPACE_IO = 1;
export const SPACE_PCI_CONFIG = 2;

export function operationRegion(path: string, space: number, offset: number, length: number): Term {
  return [EXT_OP_PREFIX, 0x80, ...nameString(path), space, ...integer(offset), ...integer(length)];
}

type FieldList = ReadonlyArray<readonly [string, number]>;

/** A field list of byte accesses: [name, bits] pairs; the name `''` skips bits. */
export function byteFields(region: string, fields: FieldList): Term {
  return fieldList(region, 0x01, fields);
}

/** A field list of accesses of 32 bits; bits without a name are written as zero. */
export function dwordFields(region: string, fields: FieldList): Term {
  return fieldList(region, 0x43, fields);
}

function fieldList(region: string, flags: number, fields: FieldList): Term {
  const list = fields.flatMap(([field, bits]) => [
    ...(field === '' ? [0] : segment(field)),
    ...fieldLength(bits),
  ]);
  return packaged([EXT_OP_PREFIX, 0x81], [...nameString(region), flags, ...list]);
}

/** The bits of a field: in a package length's form, which here does not count itself. */
function fieldLength(bits: number): Term {
  if (bits < 0x40) return [bits];
  assert(bits < 0x1000, 'field too long');
  return [0x40 | (bits & 15), bits >> 4];
}

export const local = (n: number): Term => [0x60 + n];
export const arg = (n: number): Term => [0x68 + n];
export const ref = (path: string): Term => nameString(path);
export const store = (from: Term, to: Term): Term => [0x70, ...from, ...to];
export const and = (a: Term, b: Term, to: Term = [0]): Term => [0x7b, ...a, ...b, ...to];
export const or = (a: Term, b: Term, to: Term = [0]): Term => [0x7d, ...a, ...b, ...to];
export const less = (a: Term, b: Term): Term => [0x95, ...a, ...b];
export const returns = (value: Term): Term => [0xa4, ...value];
export const when = (condition: Term, ...terms: readonly Term[]): Term =>
  packaged([0xa0], condition.concat(...terms));
export const otherwise = (...terms: readonly Term[]): Term => packaged([0xa1], terms.flat());
export const equal = (a: Term, b: Term): Term => [0x93, ...a, ...b];
export const isNot = (a: Term): Term => [0x92, ...a];
/** A method's call: as many arguments as its declaration has. */
export const call = (path: string, ...args: readonly Term[]): Term => [...nameString(path), ...args.flat()];
export const notify = (path: string, value: Term): Term => [0x86, ...nameString(path), ...value];
export const mutex = (path: string): Term => [EXT_OP_PREFIX, 0x01, ...nameString(path), 0];
/** Waits for ever. */
export const acquire = (path: string): Term => [EXT_OP_PREFIX, 0x23, ...nameString(path), 0xff, 0xff];
export const release = (path: string): Term => [EXT_OP_PREFIX, 0x27, ...nameString(path)];
/** ToUUID (19.6.142): the bytes of the first three fields are swapped. */
export function uuid(text: string): Term {
  const digits = text.replaceAll('-', '');
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return buffer(order.map((i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16)));
}
/** CreateDWordField: names the doubleword at `byteIndex` of a buffer. */
export const dwordField = (source: Term, byteIndex: number, path: string): Term => [
  0x8a,
  ...source,
  ...integer(byteIndex),
  ...nameString(path),
];

// ---- Resource descriptors (ACPI 6.4)

/** `ResourceTemplate`: the descriptors and an end tag, as a buffer. */
export function resources(...descriptors: readonly Term[]): Term {
  return buffer([...descriptors.flat(), 0x79, 0]);
}

export function irq(n: number): Term {
  return [0x22, ...littleEndian(1 << n, 2)];
}

export function dma(channel: number): Term {
  return [0x2a, 1 << channel, 0];
}

/** I/O ports base … base+length-1, 16-bit decoded. */
export function ioPorts(base: number, length: number, alignment = 1): Term {
  return [0x47, 1, ...littleEndian(base, 2), ...littleEndian(base, 2), alignment, length];
}

export function memory32Fixed(base: number, length: number, writable: boolean): Term {
  return [0x86, 9, 0, writable ? 1 : 0, ...littleEndian(base, 4), ...littleEndian(length, 4)];
}

/** ExtendedInterrupt: level-triggered, active high, shared. */
export function sharedInterrupts(gsis: readonly number[]): Term {
  const list = gsis.flatMap((gsi) => littleEndian(gsi, 4));
  return [0x89, ...littleEndian(2 + list.length, 2), 0x09, gsis.length, ...list];
}

const TYPE_MEMORY = 0;
const TYPE_IO = 1;
const TYPE_BUS = 2;

/** Address space descriptor (6.4.3.5) of `width` bytes a field; the range is fixed and produced by a bridge. */
function addressSpace(width: 2 | 4 | 8, type: number, specific: number, first: number, last: number): Term {
  const tag = { 2: 0x88, 4: 0x87, 8: 0x8a }[width];
  const fields = [0, first, last, 0, last - first + 1].flatMap((v) => littleEndian(v, width));
  return [tag, ...littleEndian(3 + fields.length, 2), type, 0x0c, specific, ...fields];
}

export const busNumbers = (first: number, last: number): Term => addressSpace(2, TYPE_BUS, 0, first, last);
export const ioWindow = (first: number, last: number): Term => addressSpace(2, TYPE_IO, 3, first, last);
/** `cacheable` is for the legacy VGA window; other windows of a PCI bridge are not. */
export const memoryWindow = (first: number, last: number, cacheable = false): Term =>
  addressSpace(last > 0xffffffff ? 8 : 4, TYPE_MEMORY, cacheable ? 3 : 1, first, last);
