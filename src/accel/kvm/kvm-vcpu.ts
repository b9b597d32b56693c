/** One vCPU of KVM as machine and monitor see it, and what its exits mean. */
import type { CpuRegisters, Vcpu, VcpuBus, VcpuExit } from '../accelerator.ts';
import * as kvm from './bindings/common.ts';
import * as x86 from './bindings/x86.ts';
import { ERRNO, errnoReason, KvmError } from './ioctls/kvm-error.ts';
import type { VcpuFd } from './ioctls/vcpu-fd.ts';
import { PARAVIRTUAL_MSRS, type StateExtras } from './state-extras.ts';
import {
  msrName,
  readCpuRegisters,
  readMoreState,
  writeCpuRegisters,
  writeMoreState,
} from './x86-registers.ts';

/** What a vCPU needs of its accelerator. */
export interface KvmVcpuOwner {
  readonly irqchip: 'on' | 'split' | 'off';
  readonly extras: StateExtras;
  /** Runs `action` while the vCPU is not in the guest. */
  whileParked<T>(cpu: KvmVcpu, action: () => T): T;
  /** An interrupt input changed: `cpu` must look at it before it goes on. */
  attend(cpu: KvmVcpu): void;
  log(text: string): void;
  /** What kvmclock shows, in nanoseconds; undefined where it cannot be read. */
  pausedClockNs(): bigint | undefined;
  /** What it shall show when the machine goes on. */
  resumeClockAt(ns: bigint): void;
  /** The end of a level-triggered interrupt, to an I/O APIC in user space. */
  endOfInterrupt(vector: number): void;
}

const SHUTDOWN: VcpuExit = { kind: 'shutdown' };

/** One instruction can make several accesses. */
const MOST_PARTS = 16;
const MSR_APIC_BASE = 0x1b;
/** Reset values (SDM Vol. 3A table 9-1). */
const RESET_REGISTERS: Readonly<CpuRegisters> = resetRegisters();

export class KvmVcpu implements Vcpu {
  readonly index: number;
  readonly fd: VcpuFd;
  readonly bus: VcpuBus;
  /** Waits in user space: HLT with our own interrupt controllers, or not yet started. */
  halted = false;
  /** Its thread was let run and what came of it is not yet handled. */
  wasReleased = false;
  /** An exit that was met while the vCPU was looked at, for the next `run`. */
  pendingExit: VcpuExit | undefined;
  /** Exits by reason, for `info kvm`. */
  readonly exits = new Uint32Array(64);
  readonly #owner: KvmVcpuOwner;
  readonly #run: DataView;
  readonly #runBytes: Uint8Array;
  #interruptPending = false;
  #nmiPending = false;
  #initPending = false;
  #sipiVector = -1;
  #waitsForSipi = false;
  #apicBase = 0n;

  constructor(index: number, fd: VcpuFd, bus: VcpuBus, owner: KvmVcpuOwner) {
    this.index = index;
    this.fd = fd;
    this.bus = bus;
    this.#owner = owner;
    this.#run = fd.run;
    this.#runBytes = fd.runBytes;
  }

  // --- state

  reset(): void {
    this.#owner.whileParked(this, () => {
      writeCpuRegisters(this.fd, { ...RESET_REGISTERS, rdx: this.#signature() });
      writeMoreState(this.fd, { ...RESET_REGISTERS, ...RESET_MORE, ...RESET_MSRS }, this.#owner.extras);
      this.#rest();
      if (this.#owner.irqchip !== 'off') this.#resetKernelApic();
      else this.#setApicBase(BigInt(this.bus.readApicMsr(MSR_APIC_BASE)?.lo ?? 0xfee0_0800));
    });
  }

  /** CPUID.1:EAX is in EDX after a reset (SDM Vol. 3A 9.1.2). */
  signature = 0x600;

  #signature(): bigint {
    return BigInt(this.signature);
  }

  /** What comes after reset and INIT: processors but the first wait for a start-up IPI. */
  #rest(): void {
    this.#interruptPending = this.#owner.irqchip === 'off' && this.#interruptPending;
    this.#nmiPending = false;
    this.#initPending = false;
    this.#sipiVector = -1;
    this.#waitsForSipi = this.index !== 0 && this.#owner.irqchip === 'off';
    this.halted = this.#waitsForSipi;
  }

  /** Power-on registers of the local APIC (SDM Vol. 3A 10.4.7.1); firmware leaves LINT0 of the first processor to the 8259 pair. */
  #resetKernelApic(): void {
    this.#setApicBase(this.index === 0 ? 0xfee0_0900n : 0xfee0_0800n);
    const page = new Uint8Array(x86.LAPIC_SIZE);
    const view = new DataView(page.buffer);
    const set = (register: number, value: number): void => view.setUint32(register * 16, value >>> 0, true);
    set(0x02, this.fd.id << 24);
    set(0x03, 0x5_0014);
    set(0x0e, 0xffff_ffff);
    set(0x0f, 0xff);
    for (let entry = 0x32; entry <= 0x37; entry++) set(entry, 0x1_0000);
    if (this.index === 0) set(0x35, 0x700);
    this.fd.setLapic(page);
    this.fd.setMpState(this.index === 0 ? kvm.MP_RUNNABLE : kvm.MP_UNINITIALIZED);
  }

  #setApicBase(value: bigint): void {
    const sregs = this.fd.getSregs();
    new DataView(sregs.buffer).setBigUint64(x86.SREGS_APIC_BASE, value, true);
    sregs.fill(0, x86.SREGS_INTERRUPT_BITMAP, x86.SREGS_INTERRUPT_BITMAP + 32);
    this.fd.setSregs(sregs);
    this.#run.setBigUint64(kvm.RUN_APIC_BASE, value, true);
    this.#apicBase = value;
  }

  readRegisters(): CpuRegisters {
    return this.#owner.whileParked(this, () => readCpuRegisters(this.fd));
  }

  writeRegisters(values: Readonly<CpuRegisters>): void {
    this.#owner.whileParked(this, () => writeCpuRegisters(this.fd, values));
  }

  saveState(): CpuRegisters {
    return this.#owner.whileParked(this, () => this.#save());
  }

  #save(): CpuRegisters {
    this.#completeExit();
    return {
      ...readCpuRegisters(this.fd),
      ...readMoreState(this.fd, this.#owner.extras),
      ...this.#saveClock(),
      halted: this.#isHalted() ? 1n : 0n,
      waits_for_sipi: this.#isWaitingForSipi() ? 1n : 0n,
    };
  }

  /** kvmclock belongs to the machine; it is saved with its first vCPU, as it stands to virtual time. */
  #saveClock(): CpuRegisters {
    const clockNs = this.index === 0 ? this.#owner.pausedClockNs() : undefined;
    if (clockNs === undefined) return {};
    return { kvm_clock_offset: BigInt.asUintN(64, clockNs - BigInt(this.bus.readTsc())) };
  }

  #loadClock(values: Readonly<CpuRegisters>): void {
    if (this.index !== 0) return;
    const offset = BigInt.asIntN(64, values['kvm_clock_offset'] ?? 0n);
    const clockNs = offset + BigInt(this.bus.readTsc());
    this.#owner.resumeClockAt(clockNs > 0n ? clockNs : 0n);
  }

  /** An access is part of the state only when KVM_RUN was called again (api.rst, KVM_EXIT_IO): finishes it without running the guest. */
  #completeExit(): void {
    for (let i = 0; i < MOST_PARTS; i++) {
      this.fd.immediateExit = true;
      const result = this.fd.enter();
      this.fd.immediateExit = false;
      if (result < 0) return;
      this.handle(result);
    }
  }

  loadState(values: Readonly<CpuRegisters>): void {
    this.#owner.whileParked(this, () => {
      writeCpuRegisters(this.fd, values);
      writeMoreState(this.fd, values, this.#owner.extras);
      this.#loadClock(values);
      const halted = values['halted'] === 1n;
      const waits = values['waits_for_sipi'] === 1n;
      if (this.#owner.irqchip === 'off') {
        this.halted = halted || waits;
        this.#waitsForSipi = waits;
        this.#setApicBase(BigInt(this.bus.readApicMsr(MSR_APIC_BASE)?.lo ?? 0xfee0_0800));
      } else this.fd.setMpState(waits ? kvm.MP_UNINITIALIZED : halted ? kvm.MP_HALTED : kvm.MP_RUNNABLE);
    });
  }

  #isHalted(): boolean {
    return this.#owner.irqchip === 'off' ? this.halted : this.fd.getMpState() === kvm.MP_HALTED;
  }

  #isWaitingForSipi(): boolean {
    if (this.#owner.irqchip === 'off') return this.#waitsForSipi;
    const state = this.fd.getMpState();
    return state === kvm.MP_UNINITIALIZED || state === kvm.MP_INIT_RECEIVED;
  }

  translateAddress(linear: bigint): number | undefined {
    const bytes = new Uint8Array(24);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt.asUintN(64, linear), true);
    const result = this.#owner.whileParked(this, () =>
      this.fd.system.ioctlBytes(this.fd.fd, x86.KVM_TRANSLATE, bytes),
    );
    return result < 0 || bytes[16] === 0 ? undefined : Number(view.getBigUint64(8, true));
  }

  get tscOffset(): number {
    return 0;
  }

  // --- interrupt inputs (machine thread)

  setInterruptPending(pending: boolean): void {
    this.#interruptPending = pending;
    if (pending) this.#wake();
  }

  nmi(): void {
    if (this.#owner.irqchip === 'on') {
      this.fd.nmi();
      return;
    }
    if (this.#waitsForSipi) return;
    this.#nmiPending = true;
    this.#wake();
  }

  smi(): void {}

  init(): void {
    this.#initPending = true;
    this.#sipiVector = -1;
    this.#owner.attend(this);
  }

  sipi(vector: number): void {
    if ((!this.#waitsForSipi && !this.#initPending) || this.#sipiVector >= 0) return;
    this.#sipiVector = vector;
    this.#owner.attend(this);
  }

  #wake(): void {
    if (!this.#waitsForSipi) this.halted = false;
    this.#owner.attend(this);
  }

  // --- before an entry

  /** Gives the vCPU what waits for it; false: it has nothing to do but wait. The vCPU is not in the guest. */
  prepare(): boolean {
    if (this.#owner.irqchip === 'on') return true;
    if (this.#initPending || this.#sipiVector >= 0) this.#takeStartup();
    if (this.halted) return false;
    if (this.#nmiPending) {
      this.#nmiPending = false;
      this.fd.nmi();
    }
    this.#offerInterrupt();
    if (this.#owner.irqchip === 'off') this.#run.setBigUint64(kvm.RUN_CR8, BigInt(this.bus.readTpr()), true);
    return true;
  }

  /** Injects the pending interrupt if the guest can take it now, else asks for an exit when it can. */
  #offerInterrupt(): void {
    const run = this.#runBytes;
    if (this.#interruptPending && run[kvm.RUN_READY_FOR_INTERRUPT] !== 0) {
      const vector = this.bus.acknowledgeInterrupt();
      if (vector >= 0) {
        this.fd.interrupt(vector);
        run[kvm.RUN_READY_FOR_INTERRUPT] = 0;
      }
    }
    run[kvm.RUN_REQUEST_INTERRUPT_WINDOW] = this.#interruptPending ? 1 : 0;
  }

  #takeStartup(): void {
    const vector = this.#sipiVector;
    if (this.#initPending) {
      this.#rest();
      const { tsc: _tsc, ...more } = RESET_MORE;
      writeCpuRegisters(this.fd, { ...INIT_REGISTERS, rdx: this.#signature() });
      writeMoreState(this.fd, { ...INIT_REGISTERS, ...more }, this.#owner.extras);
    }
    this.#sipiVector = -1;
    if (vector < 0) return;
    this.#waitsForSipi = false;
    this.halted = false;
    // SDM Vol. 3A 8.4.3: execution starts at vector << 12 in real mode.
    writeCpuRegisters(this.fd, { cs: BigInt(vector << 8), cs_base: BigInt(vector << 12), rip: 0n });
  }

  // --- after an entry

  /** What KVM_RUN's result means; undefined: let it go on. */
  handle(result: number): VcpuExit | undefined {
    if (this.#owner.irqchip === 'off') this.#followApic();
    if (result < 0) {
      if (result === -ERRNO.EINTR || result === -ERRNO.EAGAIN) return undefined;
      return this.#failed(-result);
    }
    const reason = this.#run.getUint32(kvm.RUN_EXIT_REASON, true);
    this.exits[reason & 63]!++;
    switch (reason) {
      case kvm.EXIT_IO:
        this.#portAccess();
        return undefined;
      case kvm.EXIT_MMIO:
        this.#memoryAccess();
        return undefined;
      case kvm.EXIT_HLT:
        this.halted = !this.#interruptPending && !this.#nmiPending;
        return undefined;
      case kvm.EXIT_IRQ_WINDOW_OPEN:
      case kvm.EXIT_INTR:
      case kvm.EXIT_SET_TPR:
        return undefined;
      case kvm.EXIT_IOAPIC_EOI:
        this.#owner.endOfInterrupt(this.#runBytes[kvm.RUN_EOI_VECTOR]!);
        return undefined;
      case kvm.EXIT_DEBUG:
        return this.#debugExit();
      case kvm.EXIT_SHUTDOWN:
        return SHUTDOWN;
      case kvm.EXIT_SYSTEM_EVENT:
        return this.#systemEvent();
      default:
        return this.#broken(reason);
    }
  }

  /** With our own local APIC the kernel still holds CR8 and IA32_APIC_BASE. */
  #followApic(): void {
    const cr8 = Number(this.#run.getBigUint64(kvm.RUN_CR8, true));
    if (cr8 !== this.bus.readTpr()) this.bus.writeTpr(cr8);
    const base = this.#run.getBigUint64(kvm.RUN_APIC_BASE, true);
    if (base === this.#apicBase) return;
    this.#apicBase = base;
    this.bus.writeApicMsr(MSR_APIC_BASE, Number(base & 0xffff_ffffn), Number(base >> 32n));
  }

  /** A string instruction gives several values in one exit. */
  #portAccess(): void {
    const run = this.#run;
    const { bus } = this;
    const size = this.#runBytes[kvm.RUN_IO_SIZE]!;
    const port = run.getUint16(kvm.RUN_IO_PORT, true);
    const count = run.getUint32(kvm.RUN_IO_COUNT, true);
    let at = run.getUint32(kvm.RUN_IO_DATA_OFFSET, true);
    const isOut = this.#runBytes[kvm.RUN_IO_DIRECTION] === kvm.IO_OUT;
    for (let i = 0; i < count; i++, at += size) {
      if (isOut) bus.writePort(port, size, getValue(run, at, size));
      else setValue(run, at, size, bus.readPort(port, size));
    }
  }

  /** Up to 8 bytes; what is no single access of a bus is split. */
  #memoryAccess(): void {
    const run = this.#run;
    const address =
      run.getUint32(kvm.RUN_MMIO_ADDRESS, true) + run.getUint32(kvm.RUN_MMIO_ADDRESS + 4, true) * 2 ** 32;
    const length = run.getUint32(kvm.RUN_MMIO_LENGTH, true);
    const isWrite = this.#runBytes[kvm.RUN_MMIO_IS_WRITE] !== 0;
    for (let done = 0; done < length; ) {
      const size = length - done >= 4 ? 4 : length - done >= 2 ? 2 : 1;
      const at = kvm.RUN_MMIO_DATA + done;
      if (isWrite) this.bus.writeMmio(address + done, size, getValue(run, at, size));
      else setValue(run, at, size, this.bus.readMmio(address + done, size));
      done += size;
    }
  }

  #debugExit(): VcpuExit {
    const dr6 = this.#run.getUint32(kvm.RUN_DEBUG_DR6, true);
    return { kind: 'debug', reason: (dr6 & 0x4000) !== 0 ? 'step' : 'breakpoint' };
  }

  #systemEvent(): VcpuExit {
    const type = this.#run.getUint32(kvm.RUN_EVENT_TYPE, true);
    if (type === kvm.SYSTEM_EVENT_RESET || type === kvm.SYSTEM_EVENT_SHUTDOWN) return SHUTDOWN;
    this.#owner.log(`kvm: system event ${type} on CPU #${this.index}\n`);
    return { kind: 'failed', message: `the guest reported a crash (system event ${type})` };
  }

  #failed(errno: number): VcpuExit {
    return this.#report(`KVM_RUN: ${errnoReason(errno)}`);
  }

  #broken(reason: number): VcpuExit {
    const run = this.#run;
    if (reason === kvm.EXIT_FAIL_ENTRY) {
      const why = run.getBigUint64(kvm.RUN_FAIL_REASON, true).toString(16);
      return this.#report(`the processor refused the guest's state (reason 0x${why})`);
    }
    if (reason === kvm.EXIT_INTERNAL_ERROR) {
      const suberror = run.getUint32(kvm.RUN_INTERNAL_SUBERROR, true);
      const what = [
        '',
        'an instruction could not be emulated',
        'an exception during the delivery of another',
        'an event could not be delivered',
      ][suberror];
      const count = Math.min(run.getUint32(kvm.RUN_INTERNAL_COUNT, true), 16);
      const data = Array.from(
        { length: count },
        (_, i) => `0x${run.getBigUint64(kvm.RUN_INTERNAL_DATA + 8 * i, true).toString(16)}`,
      );
      return this.#report(
        `KVM internal error ${suberror}${what ? ` (${what})` : ''}${count > 0 ? `: ${data.join(' ')}` : ''}`,
      );
    }
    return this.#report(`unknown exit ${reason}`);
  }

  /** The registers go to the log: there is nothing else to learn from. */
  #report(what: string): VcpuExit {
    let dump = '';
    try {
      const registers = readCpuRegisters(this.fd);
      const names = Object.keys(registers).filter((name) => !/^(xmm|fpu)/.test(name));
      dump = names.map((name) => `${name}=${registers[name]!.toString(16)}`).join(' ');
    } catch (error) {
      if (!(error instanceof KvmError)) throw error;
    }
    this.#owner.log(`kvm: CPU #${this.index}: ${what}\n${dump}\n`);
    return { kind: 'failed', message: `CPU #${this.index}: ${what}` };
  }
}

function getValue(view: DataView, at: number, size: number): number {
  return size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
}

function setValue(view: DataView, at: number, size: number, value: number): void {
  if (size === 1) view.setUint8(at, value);
  else if (size === 2) view.setUint16(at, value, true);
  else view.setUint32(at, value, true);
}

/** General registers and modes that INIT sets (SDM Vol. 3A table 9-1, column INIT). */
const INIT_REGISTERS: Readonly<CpuRegisters> = initRegisters();
const RESET_MORE: Readonly<CpuRegisters> = {
  xcr0: 1n,
  fpu_tags: 0xffn,
  fpu_ip: 0n,
  fpu_dp: 0n,
  fpu_opcode: 0n,
  nmi_blocked: 0n,
  nmi_pending: 0n,
  injected: 0n,
  star: 0n,
  lstar: 0n,
  cstar: 0n,
  fmask: 0n,
  sysenter_cs: 0n,
  sysenter_esp: 0n,
  sysenter_eip: 0n,
  pat: 0x0007_0406_0007_0406n,
  tsc_aux: 0n,
  tsc: 0n,
};

/** MTRRs off, IA32_DEBUGCTL clear, and nothing of the guest's memory is written by the kernel any more. */
const RESET_MSRS: Readonly<CpuRegisters> = Object.fromEntries(
  [0x2ff, 0x1d9, ...PARAVIRTUAL_MSRS].map((index) => [msrName(index), 0n]),
);

function initRegisters(): CpuRegisters {
  const out: CpuRegisters = {
    rip: 0xfff0n,
    rflags: 2n,
    cr0: 0x6000_0010n,
    cr2: 0n,
    cr3: 0n,
    cr4: 0n,
    efer: 0n,
  };
  for (const name of ['rax', 'rbx', 'rcx', 'rsp', 'rbp', 'rsi', 'rdi']) out[name] = 0n;
  for (let n = 8; n < 16; n++) out[`r${n}`] = 0n;
  const segment = (name: string, selector: bigint, base: bigint, attributes: bigint): void => {
    out[name] = selector;
    out[`${name}_base`] = base;
    out[`${name}_limit`] = 0xffffn;
    out[`${name}_attr`] = attributes;
  };
  segment('cs', 0xf000n, 0xffff_0000n, 0x9bn);
  for (const name of ['ds', 'es', 'fs', 'gs', 'ss']) segment(name, 0n, 0n, 0x93n);
  segment('ldtr', 0n, 0n, 0x82n);
  segment('tr', 0n, 0n, 0x8bn);
  for (const name of ['gdt', 'idt']) {
    out[`${name}_base`] = 0n;
    out[`${name}_limit`] = 0xffffn;
  }
  for (let n = 0; n < 4; n++) out[`dr${n}`] = 0n;
  out['dr6'] = 0xffff_0ff0n;
  out['dr7'] = 0x400n;
  out['shadow'] = 0n;
  return out;
}

/** Power-on adds the floating-point and vector registers. */
function resetRegisters(): CpuRegisters {
  const out = initRegisters();
  Object.assign(out, { fpu_cw: 0x40n, fpu_sw: 0n, fpu_top: 0n, mxcsr: 0x1f80n, kernel_gs_base: 0n });
  for (let n = 0; n < 16; n++) out[`xmm${n}`] = 0n;
  return out;
}
