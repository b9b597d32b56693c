// A virtual machine without a board, for tests: some memory and one vCPU at a given piece of code.

import type { TestContext } from 'node:test';
import { loadKvmSystem } from '../../host/node/kvm-system.ts';
import { assemble } from '../../testing/asm/x86.ts';
import { UserError } from '../../util/errors.ts';
import { webAssembly } from '../tcg/webassembly.ts';
import * as x86 from './bindings/x86.ts';
import { type KvmDevice, openKvm } from './ioctls/kvm-device.ts';
import { KvmError } from './ioctls/kvm-error.ts';
import type { VcpuFd } from './ioctls/vcpu-fd.ts';
import type { VmFd } from './ioctls/vm-fd.ts';
import type { KvmSystem } from './kvm-system.ts';

export const MEMORY_BYTES = 1 << 20;
export const CODE = 0x1000;
/** Page directory that maps the first 4 MiB one to one, for 32-bit code with paging. */
const GDT = 0x800;

export interface BareVm {
  readonly system: KvmSystem;
  readonly device: KvmDevice;
  readonly vm: VmFd;
  readonly vcpu: VcpuFd;
  readonly memory: Uint8Array;
}

/** Why there is no KVM to test with; undefined if there is. */
export function kvmMissing(): string | undefined {
  try {
    openKvm(loadKvmSystem()).close();
    return undefined;
  } catch (error) {
    if (error instanceof UserError || error instanceof KvmError) return `no KVM here: ${error.message}`;
    throw error;
  }
}

/** True if the test was skipped, by name and with the reason. */
export function skipWithoutKvm(t: TestContext): boolean {
  const reason = kvmMissing();
  if (reason !== undefined) t.skip(reason);
  return reason !== undefined;
}

export interface BareOptions {
  readonly bits: 16 | 32;
  readonly irqchip?: boolean;
  readonly pit?: boolean;
  readonly logDirty?: boolean;
}

/** The vCPU stands at `source`, assembled to `CODE`; flat segments. */
export function createBareVm(source: string, options: BareOptions): BareVm {
  const system = loadKvmSystem();
  const device = openKvm(system);
  const vm = device.createVm();
  if (options.irqchip === true) vm.createIrqchip();
  if (options.pit === true) vm.createPit();
  const shared = new (webAssembly().Memory)({ initial: 16, maximum: 16, shared: true });
  const memory = new Uint8Array(shared.buffer);
  memory.set(assemble(source, { bits: options.bits, origin: CODE }), CODE);
  vm.setMemory({
    slot: 0,
    start: 0,
    sizeBytes: MEMORY_BYTES,
    hostAddress: system.addressOf(memory),
    readOnly: false,
    logDirty: options.logDirty === true,
  });
  const vcpu = vm.createVcpu(0);
  if (options.bits === 16) enterRealMode(vcpu);
  else enterProtectedMode(vcpu, memory);
  return { system, device, vm, vcpu, memory };
}

export function closeBareVm({ device, vm, vcpu }: BareVm): void {
  vcpu.close();
  vm.close();
  device.close();
}

function startAt(vcpu: VcpuFd): void {
  const regs = new DataView(vcpu.getRegs().buffer);
  regs.setBigUint64(x86.REGS_RIP, BigInt(CODE), true);
  regs.setBigUint64(x86.REGS_RFLAGS, 2n, true);
  regs.setBigUint64(x86.REGS_RSP, 0x8000n, true);
  vcpu.setRegs(new Uint8Array(regs.buffer));
}

function enterRealMode(vcpu: VcpuFd): void {
  const sregs = new DataView(vcpu.getSregs().buffer);
  sregs.setBigUint64(x86.SREGS_CS + x86.SEGMENT_BASE, 0n, true);
  sregs.setUint16(x86.SREGS_CS + x86.SEGMENT_SELECTOR, 0, true);
  vcpu.setSregs(new Uint8Array(sregs.buffer));
  startAt(vcpu);
}

function enterProtectedMode(vcpu: VcpuFd, memory: Uint8Array): void {
  const gdt = new DataView(memory.buffer, GDT, 24);
  gdt.setBigUint64(8, 0x00cf_9b00_0000_ffffn, true);
  gdt.setBigUint64(16, 0x00cf_9300_0000_ffffn, true);
  const sregs = new DataView(vcpu.getSregs().buffer);
  const segment = (at: number, selector: number, type: number): void => {
    sregs.setBigUint64(at, 0n, true);
    sregs.setUint32(at + x86.SEGMENT_LIMIT, 0xffff_ffff, true);
    sregs.setUint16(at + x86.SEGMENT_SELECTOR, selector, true);
    const bytes = [type, 1, 0, 1, 1, 0, 1];
    bytes.forEach((byte, i) => {
      sregs.setUint8(at + x86.SEGMENT_TYPE + i, byte);
    });
  };
  segment(x86.SREGS_CS, 8, 11);
  for (const at of [x86.SREGS_DS, x86.SREGS_ES, x86.SREGS_SS, x86.SREGS_FS, x86.SREGS_GS]) segment(at, 16, 3);
  sregs.setBigUint64(x86.SREGS_GDT, BigInt(GDT), true);
  sregs.setUint16(x86.SREGS_GDT + 8, 23, true);
  sregs.setBigUint64(x86.SREGS_CR0, sregs.getBigUint64(x86.SREGS_CR0, true) | 1n, true);
  vcpu.setSregs(new Uint8Array(sregs.buffer));
  startAt(vcpu);
}

/** A general register by its number in instructions. */
export function readRegister(vcpu: VcpuFd, number: number): bigint {
  return new DataView(vcpu.getRegs().buffer).getBigUint64(x86.REGS_BY_NUMBER[number]!, true);
}
