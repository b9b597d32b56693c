/** The x86 runtime on its own: one vCPU, a little RAM, recorded host calls. For the tests beside. */
import { readFileSync } from 'node:fs';
import {
  RAM_BASE,
  RAM_MAP_COUNT,
  RAM_MAP_FLAGS,
  RAM_MAP_HOST,
  RAM_MAP_ROM,
  RAM_MAP_ROWS,
  RAM_MAP_SIZE,
  RAM_MAP_START,
  TLB_BASE,
  TLB_CODE,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_WRITE,
  VCPU_BASE,
} from '../tcg/layout.ts';
import {
  CR0,
  CR3,
  CR4,
  CS,
  EFER,
  EXC_ERROR,
  EXC_VECTOR,
  FAULT,
  GDT_BASE,
  GDT_LIMIT,
  HFLAGS,
  IDT_BASE,
  IDT_LIMIT,
  RESTORE,
  RIP,
  SEG,
  SEG_ATTR,
  SEG_BASE,
  SEG_LIMIT,
  SEG_SELECTOR,
  SEG_STRIDE,
  SS,
} from './layout.ts';

export const RAM_BYTES = 0x80_0000;
/** A page of ROM behind the RAM; behind it MMIO. */
export const ROM_ADDRESS = RAM_BYTES;
export const MMIO_ADDRESS = RAM_BYTES + 0x1000;

type AnyFunction = (...args: (number | bigint)[]) => number | bigint | undefined;
interface Wasm {
  readonly Memory: new (d: {
    initial: number;
    maximum: number;
    shared: boolean;
  }) => { readonly buffer: SharedArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: object,
  ) => { readonly exports: Record<string, AnyFunction> };
}

let compiled: object | undefined;

function runtimeModule(wasm: Wasm): object {
  compiled ??= new wasm.Module(readFileSync(new URL('../../../dist/runtime/x86.wasm', import.meta.url)));
  return compiled;
}

export class Testbed {
  readonly exports: Record<string, AnyFunction>;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** Every host call: name and arguments. */
  readonly calls: [string, ...number[]][] = [];
  mmioValue = 0;
  portValue = 0;
  tsc = 0;
  onCodeWritten: (host: number, size: number) => void = () => {};

  constructor() {
    const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
    const memory = new wasm.Memory({
      initial: (RAM_BASE + RAM_BYTES + 0x2_0000) >>> 16,
      maximum: 65536,
      shared: true,
    });
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
    const record =
      (name: string, result: () => number) =>
      (...args: number[]): number => {
        this.calls.push([name, ...args]);
        return result();
      };
    this.exports = new wasm.Instance(runtimeModule(wasm), {
      env: { memory, cpu_base: VCPU_BASE },
      host: {
        mmio_read: record('mmio_read', () => this.mmioValue),
        mmio_write: record('mmio_write', () => 0),
        rom_write: record('rom_write', () => 0),
        pio_read: record('pio_read', () => this.portValue),
        pio_write: record('pio_write', () => 0),
        code_written: (host: number, size: number) => {
          this.calls.push(['code_written', host, size]);
          this.onCodeWritten(host, size);
        },
        apic_read_msr: record('apic_read_msr', () => 0),
        apic_write_msr: record('apic_write_msr', () => 0),
        get_tpr: () => 0,
        set_tpr: record('set_tpr', () => 0),
        read_tsc: () => this.tsc,
        send_ipi: () => 0,
        fpu_error: record('fpu_error', () => 0),
        leave_smm: record('leave_smm', () => 0),
        random32: () => 0x1234_5678,
        guest_error: () => {},
        log_interrupt: record('log_interrupt', () => 0),
        log_mmu: record('log_mmu', () => 0),
      },
    }).exports;
    this.mapRam(0, 0, RAM_BYTES, RAM_BASE, 0);
    this.mapRam(1, ROM_ADDRESS, 0x1000, RAM_BASE + RAM_BYTES, RAM_MAP_ROM);
    this.view.setUint32(RAM_MAP_COUNT, 2, true);
    this.call('cpu_reset');
  }

  private mapRam(row: number, start: number, size: number, host: number, flags: number): void {
    const at = RAM_MAP_ROWS + row * 32;
    this.view.setFloat64(at + RAM_MAP_START, start, true);
    this.view.setFloat64(at + RAM_MAP_SIZE, size, true);
    this.view.setUint32(at + RAM_MAP_HOST, host, true);
    this.view.setUint32(at + RAM_MAP_FLAGS, flags, true);
  }

  /** Calls an export; a BigInt result is unsigned. */
  call(name: string, ...args: (number | bigint)[]): bigint {
    const f = this.exports[name];
    if (!f) throw new Error(`no export ${name}`);
    const result = f(...args);
    return BigInt.asUintN(64, BigInt(result ?? 0));
  }

  get(slot: number): bigint {
    return this.view.getBigUint64(VCPU_BASE + slot, true);
  }
  set(slot: number, value: bigint | number): void {
    this.view.setBigUint64(VCPU_BASE + slot, BigInt.asUintN(64, BigInt(value)), true);
  }

  // ---- physical memory
  p8(at: number): number {
    return this.view.getUint8(RAM_BASE + at);
  }
  p32(at: number): number {
    return this.view.getUint32(RAM_BASE + at, true);
  }
  p64(at: number): bigint {
    return this.view.getBigUint64(RAM_BASE + at, true);
  }
  w8(at: number, value: number): void {
    this.view.setUint8(RAM_BASE + at, value);
  }
  w16(at: number, value: number): void {
    this.view.setUint16(RAM_BASE + at, value, true);
  }
  w32(at: number, value: number): void {
    this.view.setUint32(RAM_BASE + at, value, true);
  }
  w64(at: number, value: bigint | number): void {
    this.view.setBigUint64(RAM_BASE + at, BigInt.asUintN(64, BigInt(value)), true);
  }

  // ---- guest memory; info = MMU index
  load(va: bigint | number, size = 8, mmu = 0): bigint {
    return this.call('ld_slow', BigInt.asIntN(64, BigInt(va)), size | (mmu << 8));
  }
  store(va: bigint | number, value: bigint | number, size = 8, mmu = 0): void {
    this.call('st_slow', BigInt.asIntN(64, BigInt(va)), BigInt.asIntN(64, BigInt(value)), size | (mmu << 8));
  }

  /** The write tag of the soft TLB's entry for an address (MMU index 0), undefined if the entry is another page's. */
  writeTag(va: number): bigint | undefined {
    const entry = TLB_BASE + ((va >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_SIZE;
    return this.get(entry + TLB_CODE) >> 12n === BigInt(va) >> 12n ? this.get(entry + TLB_WRITE) : undefined;
  }

  /** The recorded exception as `vector` or `vector:error`, '' if none; clears it. */
  fault(): string {
    const kind = Number(this.get(FAULT));
    this.set(FAULT, 0);
    if (kind === 0) return '';
    if (kind !== 1) return `fault ${kind}`;
    return `${this.get(EXC_VECTOR)}:${this.get(EXC_ERROR).toString(16)}`;
  }

  setSegment(n: number, selector: number, base: number, limit: number, attr: number): void {
    const at = SEG + n * SEG_STRIDE;
    this.set(at + SEG_SELECTOR, selector);
    this.set(at + SEG_BASE, base);
    this.set(at + SEG_LIMIT, limit >>> 0);
    this.set(at + SEG_ATTR, attr);
  }
  selector(n: number): number {
    return Number(this.get(SEG + n * SEG_STRIDE + SEG_SELECTOR));
  }
  base(n: number): number {
    return Number(this.get(SEG + n * SEG_STRIDE + SEG_BASE));
  }
  get cpl(): number {
    return Number(this.get(HFLAGS)) & 3;
  }

  /** Changes control registers directly and makes the runtime notice. */
  mode(registers: { cr0?: number; cr3?: number; cr4?: number; efer?: number }): void {
    if (registers.cr0 !== undefined) this.set(CR0, registers.cr0 >>> 0);
    if (registers.cr3 !== undefined) this.set(CR3, registers.cr3);
    if (registers.cr4 !== undefined) this.set(CR4, registers.cr4);
    if (registers.efer !== undefined) this.set(EFER, registers.efer);
    this.call('update_hflags');
    this.call('tlb_flush');
  }

  /** 64-bit code at a privilege level, paging by the tables at cr3. */
  longMode(cr3: number, cpl = 0): void {
    this.setSegment(CS, cpl === 0 ? 0x10 : 0x33, 0, 0xffff_ffff, 0xa09b | (cpl << 5));
    this.setSegment(SS, cpl === 0 ? 0x18 : 0x2b, 0, 0xffff_ffff, 0xc093 | (cpl << 5));
    this.mode({ cr0: 0x8001_0033, cr3, cr4: 0x6a0, efer: 0xd01 });
  }

  /** 32-bit flat protected mode without paging. */
  protectedMode(cpl = 0): void {
    this.setSegment(CS, cpl === 0 ? 0x08 : 0x1b, 0, 0xffff_ffff, 0xc09b | (cpl << 5));
    for (const n of [0, SS, 3, 4, 5])
      this.setSegment(n, cpl === 0 ? 0x10 : 0x23, 0, 0xffff_ffff, 0xc093 | (cpl << 5));
    this.mode({ cr0: 0x33, cr4: 0, efer: 0 });
  }

  tables(gdt: number, gdtLimit: number, idt: number, idtLimit: number): void {
    this.set(GDT_BASE, gdt);
    this.set(GDT_LIMIT, gdtLimit);
    this.set(IDT_BASE, idt);
    this.set(IDT_LIMIT, idtLimit);
  }

  get rip(): bigint {
    return this.get(RIP);
  }

  /** Raises an exception as a helper would and delivers it. */
  deliver(vector: number, error?: number): void {
    this.set(FAULT, 1);
    this.set(EXC_VECTOR, vector);
    this.set(EXC_ERROR, error ?? 0);
    this.set(0x408, error === undefined ? 0 : 1);
    this.set(RESTORE, 0);
    this.call('deliver_fault');
  }
}

/** An 8-byte segment descriptor. attr: as SEG_ATTR (type S DPL P at 7..0, AVL L D G at 15..12). */
export function descriptor(base: number, limit: number, attr: number): bigint {
  const raw = attr & 0x8000 ? limit >>> 12 : limit;
  const lo = (raw & 0xffff) | ((base & 0xffff) << 16);
  const hi = ((base >>> 16) & 0xff) | (attr << 8) | (raw & 0xf_0000) | (base & 0xff00_0000);
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

/** A gate of 8 bytes (16 in long mode: the low half). type: with P and DPL, e.g. 0x8e. */
export function gate(selector: number, offset: number, type: number, low = 0): bigint {
  const lo = (offset & 0xffff) | (selector << 16);
  const hi = (offset & 0xffff_0000) | (type << 8) | low;
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}
