/** SMBIOS 2.8 tables and entry point (DSP0134); firmware adds its own type 0 and the addresses. */

const MAJOR = 2;
const MINOR = 8;
const MIB = 2 ** 20;
const MEMORY_DEVICE_LIMIT = 16 * 2 ** 30;

export interface SmbiosOptions {
  readonly product: string;
  readonly version: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** [first byte, last byte] of each range of RAM. */
  readonly ranges: ReadonlyArray<readonly [number, number]>;
  /** 16 bytes, all zero if not set. */
  readonly uuid: Uint8Array;
}

export interface SmbiosImage {
  readonly tables: Uint8Array;
  readonly anchor: Uint8Array;
}

const MANUFACTURER = 'Lyrebird';

/** Handles as QEMU numbers them: the type in the high byte. */
const handle = (type: number, n = 0): number => (type << 8) + n;

class Structures {
  readonly bytes: number[] = [];
  count = 0;
  largest = 0;

  /** `body` follows the header; `strings` are referred to by 1, 2, … */
  add(type: number, n: number, body: readonly number[], strings: readonly string[] = []): void {
    const start = this.bytes.length;
    this.bytes.push(type, 4 + body.length, ...u16(handle(type, n)), ...body);
    for (const text of strings) this.bytes.push(...[...text].map((c) => c.charCodeAt(0) & 0x7f), 0);
    if (strings.length === 0) this.bytes.push(0);
    this.bytes.push(0);
    this.count++;
    this.largest = Math.max(this.largest, this.bytes.length - start);
  }
}

const u16 = (v: number): number[] => [v & 0xff, (v >>> 8) & 0xff];
const u32 = (v: number): number[] => [...u16(v & 0xffff), ...u16(v >>> 16)];
const zeros = (count: number): number[] => new Array<number>(count).fill(0);

export function smbios(options: SmbiosOptions): SmbiosImage {
  const out = new Structures();
  const { product, version } = options;
  // 7.2 system: manufacturer, product, version; wake-up by the power switch
  out.add(1, 0, [1, 2, 3, 0, ...options.uuid, 6, 0, 0], [MANUFACTURER, product, version]);
  // 7.4 enclosure: "other", safe states
  out.add(3, 0, [1, 1, 2, 0, 0, 3, 3, 3, 2, ...u32(0), 0, 0, 0, 0, 0], [MANUFACTURER, version]);
  for (let n = 0; n < options.cpus; n++) addProcessor(out, n, version);
  addMemory(out, options);
  // 7.33 boot status: no errors
  out.add(32, 0, zeros(7));
  out.add(127, 0, []);
  const tables = Uint8Array.from(out.bytes);
  return { tables, anchor: anchor(tables.length, out.count, out.largest) };
}

function addProcessor(out: Structures, n: number, version: string): void {
  const body = [
    ...[1, 3, 1, 2], // socket name, central processor, family "other", manufacturer
    ...zeros(8), // processor id
    ...[3, 0], // version, voltage
    ...[...u16(0), ...u16(2000), ...u16(2000)], // clocks
    ...[0x41, 0x01], // populated and enabled; upgrade "other"
    ...[...u16(0xffff), ...u16(0xffff), ...u16(0xffff)], // caches: none described
    ...[0, 0, 0], // serial, asset, part
    ...[1, 1, 1], // cores, enabled, threads
    ...u16(2), // unknown characteristics
    ...u16(1), // family 2
  ];
  out.add(4, n, body, [`CPU ${n}`, MANUFACTURER, version]);
}

function addMemory(out: Structures, options: SmbiosOptions): void {
  const { memoryBytes, ranges } = options;
  const devices = Math.max(1, Math.ceil(memoryBytes / MEMORY_DEVICE_LIMIT));
  // 7.17 array: "other", system memory, multi-bit ECC
  out.add(16, 0, [1, 3, 6, ...u32(memoryBytes / 1024), ...u16(0xfffe), ...u16(devices)]);
  for (let n = 0; n < devices; n++) {
    const size = Math.min(MEMORY_DEVICE_LIMIT, memoryBytes - n * MEMORY_DEVICE_LIMIT);
    const body = [
      ...[...u16(handle(16)), ...u16(0xfffe), ...u16(0xffff), ...u16(0xffff)],
      ...[...u16(Math.min(0x7fff, Math.ceil(size / MIB))), 9, 0, 1, 0, 7], // DIMM, locator 1, RAM
      ...[...u16(2), ...u16(0), 2, 0, 0, 0, 0], // speed unknown; manufacturer 2
      ...[...u32(0), ...u16(0), ...u16(0), ...u16(0), ...u16(0)],
    ];
    out.add(17, n, body, [`DIMM ${n}`, MANUFACTURER]);
  }
  ranges.forEach(([first, last], n) => {
    const inKiB = last < 2 ** 42;
    const addresses = inKiB ? [...u32(first / 1024), ...u32(Math.floor(last / 1024))] : zeros(8);
    out.add(19, n, [...addresses, ...u16(handle(16)), 1, ...zeros(16)]);
  });
}

/** The 32-bit entry point (5.2.1); firmware fills in the address and the checksums. */
function anchor(length: number, count: number, largest: number): Uint8Array {
  const bytes = new Uint8Array(31);
  const view = new DataView(bytes.buffer);
  putText(bytes, 0, '_SM_');
  bytes[5] = bytes.length;
  bytes[6] = MAJOR;
  bytes[7] = MINOR;
  view.setUint16(8, largest, true);
  putText(bytes, 16, '_DMI_');
  view.setUint16(22, length, true);
  view.setUint16(28, count, true);
  bytes[30] = (MAJOR << 4) | MINOR;
  bytes[21] = negativeSum(bytes.subarray(16));
  bytes[4] = negativeSum(bytes);
  return bytes;
}

function putText(bytes: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
}

function negativeSum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}
