/** A virtual machine of KVM: memory, interrupt controllers, eventfds, clock, vCPUs. */
import * as kvm from '../bindings/common.ts';
import * as x86 from '../bindings/x86.ts';
import type { KvmSystem } from '../kvm-system.ts';
import { checked, KvmError } from './kvm-error.ts';
import { VcpuFd } from './vcpu-fd.ts';

/** One memory slot: guest-physical addresses and the host memory behind them. */
export interface MemorySlot {
  readonly slot: number;
  readonly start: number;
  /** 0 removes the slot. */
  readonly sizeBytes: number;
  readonly hostAddress: number;
  readonly readOnly: boolean;
  readonly logDirty: boolean;
}

/** What GSI `gsi` leads to. */
export type GsiRoute =
  | { readonly gsi: number; readonly kind: 'irqchip'; readonly chip: number; readonly pin: number }
  | { readonly gsi: number; readonly kind: 'msi'; readonly address: number; readonly data: number };

/** A guest's write that becomes a count of an eventfd instead of an exit. */
export interface IoEvent {
  readonly space: 'memory' | 'port';
  readonly address: number;
  /** 0, 1, 2, 4 or 8; 0 (memory only): any length. */
  readonly length: number;
  /** Only writes of this value; undefined: all. */
  readonly match: number | undefined;
  readonly fd: number;
}

export class VmFd {
  readonly fd: number;
  readonly system: KvmSystem;
  readonly #runSize: number;

  constructor(system: KvmSystem, fd: number, runSize: number) {
    this.system = system;
    this.fd = fd;
    this.#runSize = runSize;
  }

  capability(number: number): number {
    return Math.max(0, this.system.ioctl(this.fd, kvm.KVM_CHECK_EXTENSION, number));
  }

  /** `argument`: first argument of the capability. */
  enableCapability(number: number, argument = 0): void {
    const bytes = new Uint8Array(104);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, number, true);
    view.setBigUint64(8, BigInt(argument), true);
    this.#write(kvm.KVM_ENABLE_CAP, bytes, 'KVM_ENABLE_CAP');
  }

  // --- memory

  setMemory(slot: MemorySlot): void {
    const bytes = new Uint8Array(32);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, slot.slot, true);
    view.setUint32(
      4,
      (slot.logDirty ? kvm.MEM_LOG_DIRTY_PAGES : 0) | (slot.readOnly ? kvm.MEM_READONLY : 0),
      true,
    );
    view.setBigUint64(8, BigInt(slot.start), true);
    view.setBigUint64(16, BigInt(slot.sizeBytes), true);
    view.setBigUint64(24, BigInt(slot.hostAddress), true);
    this.#write(kvm.KVM_SET_USER_MEMORY_REGION, bytes, 'KVM_SET_USER_MEMORY_REGION');
  }

  /** Bit per page of the slot, written since the last call. `bitmap` is a multiple of 8 bytes. */
  getDirtyLog(slot: number, bitmap: Uint8Array): void {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, slot, true);
    view.setBigUint64(8, BigInt(this.system.addressOf(bitmap)), true);
    this.#write(kvm.KVM_GET_DIRTY_LOG, bytes, 'KVM_GET_DIRTY_LOG');
  }

  /** Three pages that KVM on Intel processors needs for real mode, outside RAM. */
  setTssAddress(address: number): void {
    checked(this.system.ioctl(this.fd, x86.KVM_SET_TSS_ADDR, address), 'KVM_SET_TSS_ADDR');
  }

  setIdentityMapAddress(address: number): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(address), true);
    this.#write(x86.KVM_SET_IDENTITY_MAP_ADDR, bytes, 'KVM_SET_IDENTITY_MAP_ADDR');
  }

  // --- interrupts

  createIrqchip(): void {
    checked(this.system.ioctl(this.fd, kvm.KVM_CREATE_IRQCHIP, 0), 'KVM_CREATE_IRQCHIP');
  }

  createPit(): void {
    const bytes = new Uint8Array(64);
    bytes[0] = 1; // KVM_PIT_SPEAKER_DUMMY: port 0x61 is answered in the kernel, too
    this.#write(x86.KVM_CREATE_PIT2, bytes, 'KVM_CREATE_PIT2');
  }

  setIrqLine(gsi: number, level: boolean): void {
    const bytes = this.#irqLine;
    this.#irqLineView.setUint32(0, gsi, true);
    this.#irqLineView.setUint32(4, level ? 1 : 0, true);
    this.#write(kvm.KVM_IRQ_LINE, bytes, 'KVM_IRQ_LINE');
  }
  readonly #irqLine = new Uint8Array(8);
  readonly #irqLineView = new DataView(this.#irqLine.buffer);

  /** False: no local APIC took it. */
  signalMsi(address: number, data: number): boolean {
    const bytes = new Uint8Array(32);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, address, true);
    view.setUint32(8, data, true);
    return this.system.ioctlBytes(this.fd, kvm.KVM_SIGNAL_MSI, bytes) > 0;
  }

  /** Replaces the whole routing table. */
  setGsiRouting(routes: readonly GsiRoute[]): void {
    const bytes = new Uint8Array(8 + routes.length * kvm.ROUTING_ENTRY_SIZE);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, routes.length, true);
    routes.forEach((route, i) => {
      const at = 8 + i * kvm.ROUTING_ENTRY_SIZE;
      view.setUint32(at, route.gsi, true);
      view.setUint32(at + 4, route.kind === 'msi' ? kvm.ROUTING_MSI : kvm.ROUTING_IRQCHIP, true);
      view.setUint32(at + 16, route.kind === 'msi' ? route.address : route.chip, true);
      view.setUint32(
        at + (route.kind === 'msi' ? 24 : 20),
        route.kind === 'msi' ? route.data : route.pin,
        true,
      );
    });
    this.#write(kvm.KVM_SET_GSI_ROUTING, bytes, 'KVM_SET_GSI_ROUTING');
  }

  /** Each count of `fd` raises GSI `gsi`. With `resampleFd` it is a level: the guest's end of interrupt counts there. */
  addIrqFd(fd: number, gsi: number, resampleFd?: number): void {
    this.#irqFd(fd, gsi, resampleFd === undefined ? 0 : kvm.IRQFD_RESAMPLE, resampleFd ?? 0);
  }

  removeIrqFd(fd: number, gsi: number): void {
    this.#irqFd(fd, gsi, kvm.IRQFD_DEASSIGN, 0);
  }

  #irqFd(fd: number, gsi: number, flags: number, resampleFd: number): void {
    const bytes = new Uint8Array(32);
    const view = new DataView(bytes.buffer);
    [fd, gsi, flags, resampleFd].forEach((word, i) => view.setUint32(4 * i, word, true));
    this.#write(kvm.KVM_IRQFD, bytes, 'KVM_IRQFD');
  }

  addIoEvent(event: IoEvent): void {
    this.#ioEvent(event, 0);
  }

  removeIoEvent(event: IoEvent): void {
    this.#ioEvent(event, kvm.IOEVENTFD_DEASSIGN);
  }

  #ioEvent(event: IoEvent, more: number): void {
    const { space, address, length, match, fd } = event;
    const flags =
      (match === undefined ? 0 : kvm.IOEVENTFD_DATAMATCH) | (space === 'port' ? kvm.IOEVENTFD_PIO : 0) | more;
    const bytes = new Uint8Array(64);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(match ?? 0), true);
    view.setBigUint64(8, BigInt(address), true);
    view.setUint32(16, length, true);
    view.setInt32(20, fd, true);
    view.setUint32(24, flags, true);
    this.#write(kvm.KVM_IOEVENTFD, bytes, 'KVM_IOEVENTFD');
  }

  /** Writes to this range are collected in a ring instead of an exit each. */
  coalesce(space: 'memory' | 'port', address: number, sizeBytes: number): void {
    this.#coalesce(kvm.KVM_REGISTER_COALESCED_MMIO, space, address, sizeBytes);
  }

  uncoalesce(space: 'memory' | 'port', address: number, sizeBytes: number): void {
    this.#coalesce(kvm.KVM_UNREGISTER_COALESCED_MMIO, space, address, sizeBytes);
  }

  #coalesce(request: number, space: 'memory' | 'port', address: number, sizeBytes: number): void {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(address), true);
    view.setUint32(8, sizeBytes, true);
    view.setUint32(12, space === 'port' ? 1 : 0, true);
    this.#write(request, bytes, 'KVM_REGISTER_COALESCED_MMIO');
  }

  /** State of one chip (`IRQCHIP_*`): the kernel's structure without its header, 512 bytes. */
  getIrqchip(chip: number): Uint8Array {
    const bytes = new Uint8Array(x86.IRQCHIP_SIZE);
    bytes[0] = chip;
    this.#write(x86.KVM_GET_IRQCHIP, bytes, 'KVM_GET_IRQCHIP');
    return bytes.subarray(x86.IRQCHIP_STATE);
  }

  setIrqchip(chip: number, state: Uint8Array): void {
    const bytes = new Uint8Array(x86.IRQCHIP_SIZE);
    bytes[0] = chip;
    bytes.set(state, x86.IRQCHIP_STATE);
    this.#write(x86.KVM_SET_IRQCHIP, bytes, 'KVM_SET_IRQCHIP');
  }

  getPit(): Uint8Array {
    const bytes = new Uint8Array(x86.PIT_STATE_SIZE);
    this.#write(x86.KVM_GET_PIT2, bytes, 'KVM_GET_PIT2');
    return bytes;
  }

  setPit(state: Uint8Array): void {
    this.#write(x86.KVM_SET_PIT2, state, 'KVM_SET_PIT2');
  }

  // --- time

  /** Nanoseconds that kvmclock shows. */
  getClock(): bigint {
    const bytes = new Uint8Array(x86.CLOCK_SIZE);
    this.#write(x86.KVM_GET_CLOCK, bytes, 'KVM_GET_CLOCK');
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }

  setClock(ns: bigint): void {
    const bytes = new Uint8Array(x86.CLOCK_SIZE);
    new DataView(bytes.buffer).setBigUint64(0, ns, true);
    this.#write(x86.KVM_SET_CLOCK, bytes, 'KVM_SET_CLOCK');
  }

  // --- vCPUs

  createVcpu(id: number): VcpuFd {
    const fd = checked(this.system.ioctl(this.fd, kvm.KVM_CREATE_VCPU, id), 'KVM_CREATE_VCPU');
    const pages = this.system.map(fd, this.#runSize);
    if (typeof pages === 'number') throw new KvmError('mmap of kvm_run', -pages);
    return new VcpuFd(this.system, fd, id, pages);
  }

  close(): void {
    this.system.close(this.fd);
  }

  #write(request: number, bytes: Uint8Array, operation: string): void {
    checked(this.system.ioctlBytes(this.fd, request, bytes), operation);
  }
}
