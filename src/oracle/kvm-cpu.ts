import * as kvm from '../accel/kvm/bindings/common.ts';
import * as x86 from '../accel/kvm/bindings/x86.ts';
import { type CpuidEntry, encodeCpuid, openKvm } from '../accel/kvm/ioctls/kvm-device.ts';
import { ERRNO } from '../accel/kvm/ioctls/kvm-error.ts';
import type { VcpuFd } from '../accel/kvm/ioctls/vcpu-fd.ts';
import type { KvmSystem } from '../accel/kvm/kvm-system.ts';
import { writeCpuRegisters } from '../accel/kvm/x86-registers.ts';
import { webAssembly } from '../accel/tcg/webassembly.ts';
import { readExceptionFrame } from './exception-frame.ts';
import {
  CODE_PHYSICAL,
  CR3_VALUE,
  DATA_PHYSICAL,
  GDT,
  GDT_LIMIT,
  IDT,
  IDT_LIMIT,
  KERNEL_BASE,
  RAM_BYTES,
  READ_ONLY_PHYSICAL,
  setUpGuestMemory,
  TSS,
  TSS_LIMIT,
} from './guest-memory.ts';
import {
  type Bits,
  CODE,
  CODE_SIZE,
  CS_32,
  CS_64,
  DATA_SELECTOR,
  DATA_SIZE,
  I_DS,
  I_ES,
  I_FS,
  I_FS_BASE,
  I_GPR,
  I_GS,
  I_GS_BASE,
  I_RFLAGS,
  I_RIP,
  I_RSP,
  I_VECTOR,
  I_XSAVE,
  IMAGE_SIZE,
  NO_VECTOR,
  type OracleCpu,
  READ_ONLY_SIZE,
  VECTOR_SHUTDOWN,
  VECTOR_TIMEOUT,
  XSAVE_SIZE,
} from './image.ts';

const INT3 = 0xcc;
/** What ends a case: not every KVM lets user code call interrupts. */
const UD2 = [0x0f, 0x0b];
const INVALID_OPCODE = 6;
const RESUME_FLAG = 1 << 16;
const PAGE = 0x1_0000;
/** As the translator's minimal kernel has them (`EmulatedCpu`). */
const SYSTEM_REGISTERS = {
  cr0: 0x8005_0033n,
  cr3: BigInt(CR3_VALUE),
  efer: 0xd01n,
  gdt_base: KERNEL_BASE + BigInt(GDT),
  gdt_limit: BigInt(GDT_LIMIT),
  idt_base: KERNEL_BASE + BigInt(IDT),
  idt_limit: BigInt(IDT_LIMIT),
};
const LIMIT_NS = 1e9;
const STATE_SEGMENTS = [
  [x86.SREGS_ES, I_ES],
  [x86.SREGS_DS, I_DS],
  [x86.SREGS_FS, I_FS],
  [x86.SREGS_GS, I_GS],
] as const;

/** A vCPU of KVM that runs user code under the tables of a minimal kernel, whose handlers halt. */
export class KvmCpu implements OracleCpu {
  readonly input = new Uint8Array(IMAGE_SIZE);
  readonly output = new Uint8Array(IMAGE_SIZE);
  readonly code: Uint8Array;
  readonly data: Uint8Array;
  readonly readOnly: Uint8Array;
  readonly #in = new DataView(this.input.buffer);
  readonly #out = new DataView(this.output.buffer);
  readonly #system: KvmSystem;
  readonly #vcpu: VcpuFd;
  readonly #ram: DataView;
  readonly #timer: number;
  readonly #sregs: { readonly 32: Uint8Array; readonly 64: Uint8Array };
  readonly #regs = new Uint8Array(x86.REGS_SIZE);
  readonly #after = new Uint8Array(x86.SREGS_SIZE);
  #bits: Bits = 64;
  #end = 0;

  constructor(system: KvmSystem) {
    this.#system = system;
    const device = openKvm(system);
    const vm = device.createVm();
    const pages = RAM_BYTES / PAGE;
    const shared = new (webAssembly().Memory)({ initial: pages, maximum: pages, shared: true });
    const ram = new Uint8Array(shared.buffer);
    setUpGuestMemory(ram);
    this.#ram = new DataView(shared.buffer);
    this.code = ram.subarray(CODE_PHYSICAL, CODE_PHYSICAL + CODE_SIZE);
    this.data = ram.subarray(DATA_PHYSICAL, DATA_PHYSICAL + DATA_SIZE);
    this.readOnly = ram.subarray(READ_ONLY_PHYSICAL, READ_ONLY_PHYSICAL + READ_ONLY_SIZE);
    const hostAddress = system.addressOf(ram);
    vm.setMemory({ slot: 0, start: 0, sizeBytes: RAM_BYTES, hostAddress, readOnly: false, logDirty: false });
    this.#vcpu = vm.createVcpu(0);
    const supported = device.supportedCpuid();
    this.#vcpu.setCpuid(encodeCpuid(supported));
    this.#timer = system.createTimer();
    this.#vcpu.setSignalMask(system.signalMask);
    if (this.#vcpu.getXcr0() !== undefined) this.#vcpu.setXcr0(7n);
    const state = { ...SYSTEM_REGISTERS, ...SEGMENTS, cr4: cr4Of(supported) };
    writeCpuRegisters(this.#vcpu, { ...state, ...codeSegment(32), ...dataSegments(32) });
    const of32 = this.#vcpu.getSregs();
    writeCpuRegisters(this.#vcpu, { ...state, ...codeSegment(64), ...dataSegments(64) });
    this.#sregs = { 32: of32, 64: this.#vcpu.getSregs() };
  }

  load(code: Uint8Array, at: number, bits: Bits): void {
    const offset = at - CODE;
    this.code.fill(INT3);
    this.code.set(code, offset);
    this.#end = at + code.length;
    if (offset + code.length <= CODE_SIZE - 2) this.code.set(UD2, offset + code.length);
    this.#bits = bits;
  }

  run(): void {
    this.#enter();
    this.#system.setTimer(this.#timer, LIMIT_NS);
    let result = this.#vcpu.enter();
    // a debug exception of the host's is not asked for; what a signal of somebody else's interrupts goes on
    for (let i = 0; result === -ERRNO.EINTR && i < 3; i++) result = this.#vcpu.enter();
    const reason = this.#vcpu.run.getUint32(kvm.RUN_EXIT_REASON, true);
    this.#leave();
    if (result >= 0 && reason === kvm.EXIT_HLT) return;
    if (result === -ERRNO.EINTR) this.#system.takeTimerSignal();
    const isShutdown = result >= 0 && reason === kvm.EXIT_SHUTDOWN;
    if (result >= 0 && !isShutdown) throw new Error(`exit ${reason}: ${this.#describe()}`);
    this.#out.setUint32(I_VECTOR, isShutdown ? VECTOR_SHUTDOWN : VECTOR_TIMEOUT, true);
    const events = new Uint8Array(x86.EVENTS_SIZE);
    this.#vcpu.setEvents(events);
  }

  #describe(): string {
    const suberror = this.#vcpu.run.getUint32(kvm.RUN_INTERNAL_SUBERROR, true);
    const rip = new DataView(this.#vcpu.getRegs().buffer).getBigUint64(x86.REGS_RIP, true);
    return `suberror ${suberror}, rip 0x${rip.toString(16)}`;
  }

  #enter(): void {
    const sregs = this.#sregs[this.#bits];
    if (this.#bits === 64) {
      const view = new DataView(sregs.buffer);
      view.setBigUint64(x86.SREGS_FS + x86.SEGMENT_BASE, this.#in.getBigUint64(I_FS_BASE, true), true);
      view.setBigUint64(x86.SREGS_GS + x86.SEGMENT_BASE, this.#in.getBigUint64(I_GS_BASE, true), true);
    }
    this.#vcpu.setSregs(sregs);
    const regs = new DataView(this.#regs.buffer);
    for (let n = 0; n < 16; n++)
      regs.setBigUint64(x86.REGS_BY_NUMBER[n]!, this.#in.getBigUint64(I_GPR + 8 * n, true), true);
    regs.setBigUint64(x86.REGS_RIP, this.#in.getBigUint64(I_RIP, true), true);
    regs.setBigUint64(x86.REGS_RFLAGS, this.#in.getBigUint64(I_RFLAGS, true), true);
    this.#vcpu.setRegs(this.#regs);
    const xsave = new Uint8Array(x86.XSAVE_SIZE);
    xsave.set(this.input.subarray(I_XSAVE, I_XSAVE + XSAVE_SIZE));
    xsave[x86.XSAVE_HEADER] = 7;
    this.#vcpu.setXsave(xsave);
  }

  #leave(): void {
    const regs = new DataView(this.#vcpu.getRegs(this.#regs).buffer);
    for (let n = 0; n < 16; n++)
      this.#out.setBigUint64(I_GPR + 8 * n, regs.getBigUint64(x86.REGS_BY_NUMBER[n]!, true), true);
    const sregs = new DataView(this.#vcpu.getSregs(this.#after).buffer);
    for (const [from, to] of STATE_SEGMENTS)
      this.#out.setUint16(to, sregs.getUint16(from + x86.SEGMENT_SELECTOR, true), true);
    this.#out.setBigUint64(I_FS_BASE, sregs.getBigUint64(x86.SREGS_FS + x86.SEGMENT_BASE, true), true);
    this.#out.setBigUint64(I_GS_BASE, sregs.getBigUint64(x86.SREGS_GS + x86.SEGMENT_BASE, true), true);
    this.output.set(this.#vcpu.getXsave().subarray(0, XSAVE_SIZE), I_XSAVE);
    const handler = {
      rip: regs.getUint32(x86.REGS_RIP, true),
      rsp: regs.getUint32(x86.REGS_BY_NUMBER[4]!, true) & 0xffff,
      cr2: sregs.getBigUint64(x86.SREGS_CR2, true),
    };
    this.#out.setBigUint64(I_GPR + I_RSP, 0n, true);
    readExceptionFrame(this.#out, this.#ram, handler, -1);
    const out = this.#out;
    if (out.getUint32(I_VECTOR, true) !== INVALID_OPCODE || out.getUint32(I_RIP, true) !== this.#end) return;
    out.setUint32(I_VECTOR, NO_VECTOR, true);
    out.setUint32(I_RFLAGS, out.getUint32(I_RFLAGS, true) & ~RESUME_FLAG, true);
  }
}

/** DE PSE PAE MCE PGE OSFXSR OSXMMEXCPT, and of UMIP FSGSBASE OSXSAVE those that there are. */
function cr4Of(supported: readonly CpuidEntry[]): bigint {
  const row = (leaf: number): CpuidEntry | undefined =>
    supported.find((entry) => entry.leaf === leaf && entry.subleaf === 0);
  const bit = (word: number | undefined, at: number): bigint => BigInt(((word ?? 0) >>> at) & 1);
  const umip = bit(row(7)?.ecx, 2) << 11n;
  const fsgsbase = bit(row(7)?.ebx, 0) << 16n;
  const osxsave = bit(row(1)?.ecx, 26) << 18n;
  return 0x6f8n | umip | fsgsbase | osxsave;
}

type Registers = Record<string, bigint>;

function segment(name: string, selector: number, base: bigint, limit: bigint, attributes: bigint): Registers {
  return {
    [name]: BigInt(selector),
    [`${name}_base`]: base,
    [`${name}_limit`]: limit,
    [`${name}_attr`]: attributes,
  };
}

const FLAT = 0xffff_ffffn;
const SEGMENTS: Registers = {
  ...segment('ss', DATA_SELECTOR, 0n, FLAT, 0xc0f3n),
  ...segment('ldtr', 0, 0n, 0n, 0x1_0000n),
  ...segment('tr', 0x40, KERNEL_BASE + BigInt(TSS), BigInt(TSS_LIMIT), 0x8bn),
};

function codeSegment(bits: Bits): Registers {
  return bits === 64 ? segment('cs', CS_64, 0n, FLAT, 0xa0fbn) : segment('cs', CS_32, 0n, FLAT, 0xc0fbn);
}

/** As Linux leaves them: null in 64-bit code. */
function dataSegments(bits: Bits): Registers {
  const of = (name: string): Registers =>
    bits === 64 ? segment(name, 0, 0n, 0n, 0x1_0000n) : segment(name, DATA_SELECTOR, 0n, FLAT, 0xc0f3n);
  return { ...of('es'), ...of('ds'), ...of('fs'), ...of('gs') };
}
