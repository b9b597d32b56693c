/** A vCPU of KVM: running it, and every part of its state. */
import * as kvm from '../bindings/common.ts';
import * as x86 from '../bindings/x86.ts';
import type { KvmSystem, MappedPages } from '../kvm-system.ts';
import { checked, ERRNO } from './kvm-error.ts';

/** A model-specific register and its value. */
export interface MsrValue {
  readonly index: number;
  readonly value: bigint;
}

export class VcpuFd {
  readonly fd: number;
  readonly id: number;
  readonly system: KvmSystem;
  /** `struct kvm_run`, shared with the kernel. */
  readonly run: DataView;
  readonly runBytes: Uint8Array;
  readonly runAddress: number;

  constructor(system: KvmSystem, fd: number, id: number, pages: MappedPages) {
    this.system = system;
    this.fd = fd;
    this.id = id;
    this.runAddress = pages.address;
    this.runBytes = pages.bytes;
    this.run = new DataView(pages.bytes.buffer, pages.bytes.byteOffset, pages.bytes.byteLength);
  }

  /** Runs the guest until an exit: 0, or a negated error number (EINTR: kicked). */
  enter(): number {
    return this.system.ioctl(this.fd, kvm.KVM_RUN, 0);
  }

  get exitReason(): number {
    return this.run.getUint32(kvm.RUN_EXIT_REASON, true);
  }

  /** While set, `enter` completes what is under way and returns at once with EINTR. Any thread may set it. */
  set immediateExit(value: boolean) {
    this.runBytes[kvm.RUN_IMMEDIATE_EXIT] = value ? 1 : 0;
  }

  // --- registers, as the kernel's structures

  getRegs(into = new Uint8Array(x86.REGS_SIZE)): Uint8Array {
    return this.#transfer(x86.KVM_GET_REGS, into, 'KVM_GET_REGS');
  }

  setRegs(bytes: Uint8Array): void {
    this.#transfer(x86.KVM_SET_REGS, bytes, 'KVM_SET_REGS');
  }

  getSregs(into = new Uint8Array(x86.SREGS_SIZE)): Uint8Array {
    return this.#transfer(x86.KVM_GET_SREGS, into, 'KVM_GET_SREGS');
  }

  setSregs(bytes: Uint8Array): void {
    this.#transfer(x86.KVM_SET_SREGS, bytes, 'KVM_SET_SREGS');
  }

  getXsave(): Uint8Array {
    return this.#transfer(x86.KVM_GET_XSAVE, new Uint8Array(x86.XSAVE_SIZE), 'KVM_GET_XSAVE');
  }

  setXsave(bytes: Uint8Array): void {
    this.#transfer(x86.KVM_SET_XSAVE, bytes, 'KVM_SET_XSAVE');
  }

  /** XCR0; undefined where the processor has no XSAVE. */
  getXcr0(): bigint | undefined {
    const bytes = new Uint8Array(x86.XCRS_SIZE);
    if (this.system.ioctlBytes(this.fd, x86.KVM_GET_XCRS, bytes) < 0) return undefined;
    const view = new DataView(bytes.buffer);
    return view.getUint32(0, true) === 0 ? undefined : view.getBigUint64(x86.XCRS_FIRST + 8, true);
  }

  setXcr0(value: bigint): void {
    const bytes = new Uint8Array(x86.XCRS_SIZE);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 1, true);
    view.setBigUint64(x86.XCRS_FIRST + 8, value, true);
    this.#transfer(x86.KVM_SET_XCRS, bytes, 'KVM_SET_XCRS');
  }

  getDebugRegs(): Uint8Array {
    return this.#transfer(x86.KVM_GET_DEBUGREGS, new Uint8Array(x86.DEBUGREGS_SIZE), 'KVM_GET_DEBUGREGS');
  }

  setDebugRegs(bytes: Uint8Array): void {
    this.#transfer(x86.KVM_SET_DEBUGREGS, bytes, 'KVM_SET_DEBUGREGS');
  }

  getEvents(): Uint8Array {
    return this.#transfer(x86.KVM_GET_VCPU_EVENTS, new Uint8Array(x86.EVENTS_SIZE), 'KVM_GET_VCPU_EVENTS');
  }

  setEvents(bytes: Uint8Array): void {
    this.#transfer(x86.KVM_SET_VCPU_EVENTS, bytes, 'KVM_SET_VCPU_EVENTS');
  }

  /** Reads what it can, in order, and stops at the first that KVM refuses. */
  getMsrs(indexes: readonly number[]): MsrValue[] {
    const { bytes, view } = msrList(indexes.map((index) => ({ index, value: 0n })));
    const count = checked(this.system.ioctlBytes(this.fd, x86.KVM_GET_MSRS, bytes), 'KVM_GET_MSRS');
    return indexes
      .slice(0, count)
      .map((index, i) => ({ index, value: view.getBigUint64(16 + 16 * i, true) }));
  }

  /** How many were taken; KVM stops at the first that it refuses. */
  setMsrs(values: readonly MsrValue[]): number {
    return checked(this.system.ioctlBytes(this.fd, x86.KVM_SET_MSRS, msrList(values).bytes), 'KVM_SET_MSRS');
  }

  setCpuid(bytes: Uint8Array): void {
    this.#transfer(x86.KVM_SET_CPUID2, bytes, 'KVM_SET_CPUID2');
  }

  getLapic(): Uint8Array {
    return this.#transfer(x86.KVM_GET_LAPIC, new Uint8Array(x86.LAPIC_SIZE), 'KVM_GET_LAPIC');
  }

  setLapic(bytes: Uint8Array): void {
    this.#transfer(x86.KVM_SET_LAPIC, bytes, 'KVM_SET_LAPIC');
  }

  /** `MP_*`. */
  getMpState(): number {
    const bytes = this.#transfer(kvm.KVM_GET_MP_STATE, new Uint8Array(4), 'KVM_GET_MP_STATE');
    return bytes[0]!;
  }

  setMpState(state: number): void {
    this.#transfer(kvm.KVM_SET_MP_STATE, Uint8Array.of(state, 0, 0, 0), 'KVM_SET_MP_STATE');
  }

  // --- interrupts

  /** Delivers a vector at the next entry (no interrupt controller in the kernel). The guest must be ready for it. */
  interrupt(vector: number): void {
    this.#transfer(x86.KVM_INTERRUPT, Uint8Array.of(vector, 0, 0, 0), 'KVM_INTERRUPT');
  }

  nmi(): void {
    checked(this.system.ioctl(this.fd, x86.KVM_NMI, 0), 'KVM_NMI');
  }

  /** Host-side breakpoints and single-step: `GUESTDBG_*` and DR0…3, DR7. */
  setGuestDebug(control: number, addresses: readonly bigint[] = [], dr7 = 0): void {
    const bytes = new Uint8Array(x86.GUEST_DEBUG_SIZE);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, control, true);
    addresses.forEach((address, i) => {
      view.setBigUint64(x86.GUEST_DEBUG_DR0 + 8 * i, address, true);
    });
    view.setUint32(x86.GUEST_DEBUG_DR7, dr7, true);
    this.#transfer(kvm.KVM_SET_GUEST_DEBUG, bytes, 'KVM_SET_GUEST_DEBUG');
  }

  /** Signals held back while the vCPU runs, 8 bytes. */
  setSignalMask(mask: Uint8Array): void {
    const bytes = new Uint8Array(4 + mask.length);
    new DataView(bytes.buffer).setUint32(0, mask.length, true);
    bytes.set(mask, 4);
    this.#transfer(kvm.KVM_SET_SIGNAL_MASK, bytes, 'KVM_SET_SIGNAL_MASK');
  }

  /** kHz of the guest's TSC; undefined if KVM does not say. */
  tscKhz(): number | undefined {
    const khz = this.system.ioctl(this.fd, x86.KVM_GET_TSC_KHZ, 0);
    return khz > 0 ? khz : undefined;
  }

  /** False if this host cannot give the guest a TSC of another rate. */
  setTscKhz(khz: number): boolean {
    return this.system.ioctl(this.fd, x86.KVM_SET_TSC_KHZ, khz) >= 0;
  }

  /** Tells a guest with kvmclock that it was paused, so that its watchdogs do not bark. */
  notePaused(): void {
    const result = this.system.ioctl(this.fd, x86.KVM_KVMCLOCK_CTRL, 0);
    if (result < 0 && result !== -ERRNO.EINVAL) checked(result, 'KVM_KVMCLOCK_CTRL');
  }

  close(): void {
    this.system.close(this.fd);
  }

  #transfer(request: number, bytes: Uint8Array, operation: string): Uint8Array {
    checked(this.system.ioctlBytes(this.fd, request, bytes), operation);
    return bytes;
  }
}

/** count u32, padding u32, then index u32, reserved u32, value u64. */
function msrList(values: readonly MsrValue[]): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(8 + 16 * values.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, values.length, true);
  values.forEach(({ index, value }, i) => {
    view.setUint32(8 + 16 * i, index, true);
    view.setBigUint64(16 + 16 * i, value, true);
  });
  return { bytes, view };
}
