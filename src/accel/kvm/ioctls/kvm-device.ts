/** `/dev/kvm`: version, capabilities, and the way to a virtual machine. */
import * as kvm from '../bindings/common.ts';
import * as x86 from '../bindings/x86.ts';
import type { KvmSystem } from '../kvm-system.ts';
import { checked, ERRNO, KvmError } from './kvm-error.ts';
import { VmFd } from './vm-fd.ts';

export const KVM_DEVICE_PATH = '/dev/kvm';

/** One row of CPUID as KVM lists and takes it. */
export interface CpuidEntry {
  readonly leaf: number;
  readonly subleaf: number;
  /** The subleaf counts; otherwise every subleaf gives this row. */
  readonly hasSubleaf: boolean;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

export class KvmDevice {
  readonly fd: number;
  readonly system: KvmSystem;

  /** Throws `KvmError` if the device cannot be opened or speaks another API. */
  constructor(system: KvmSystem) {
    this.system = system;
    this.fd = checked(system.open(KVM_DEVICE_PATH), `open ${KVM_DEVICE_PATH}`);
  }

  apiVersion(): number {
    return checked(this.system.ioctl(this.fd, kvm.KVM_GET_API_VERSION, 0), 'KVM_GET_API_VERSION');
  }

  /** 0: not there; otherwise what the capability's documentation says (often 1, or a number). */
  capability(number: number): number {
    return Math.max(0, this.system.ioctl(this.fd, kvm.KVM_CHECK_EXTENSION, number));
  }

  /** Most vCPUs of a machine. */
  maxVcpus(): number {
    return this.capability(kvm.KVM_CAP_MAX_VCPUS) || this.capability(kvm.KVM_CAP_NR_VCPUS) || 4;
  }

  /** Size of a vCPU's `kvm_run` mapping. */
  runSize(): number {
    return checked(this.system.ioctl(this.fd, kvm.KVM_GET_VCPU_MMAP_SIZE, 0), 'KVM_GET_VCPU_MMAP_SIZE');
  }

  createVm(): VmFd {
    const fd = checked(this.system.ioctl(this.fd, kvm.KVM_CREATE_VM, 0), 'KVM_CREATE_VM');
    return new VmFd(this.system, fd, this.runSize());
  }

  /** The CPUID rows that this host's processor and KVM can offer a guest. */
  supportedCpuid(): CpuidEntry[] {
    for (let room = 128; ; room *= 2) {
      const bytes = new Uint8Array(8 + room * x86.CPUID_ENTRY_SIZE);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, room, true);
      const result = this.system.ioctlBytes(this.fd, x86.KVM_GET_SUPPORTED_CPUID, bytes);
      if (result === -ERRNO.E2BIG && room < 4096) continue;
      checked(result, 'KVM_GET_SUPPORTED_CPUID');
      return decodeCpuid(view);
    }
  }

  /** Model-specific registers that KVM saves and restores. */
  msrIndexes(): number[] {
    const bytes = new Uint8Array(4 + 4 * 1024);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 1024, true);
    checked(this.system.ioctlBytes(this.fd, x86.KVM_GET_MSR_INDEX_LIST, bytes), 'KVM_GET_MSR_INDEX_LIST');
    return Array.from({ length: view.getUint32(0, true) }, (_, i) => view.getUint32(4 + 4 * i, true));
  }

  close(): void {
    this.system.close(this.fd);
  }
}

function decodeCpuid(view: DataView): CpuidEntry[] {
  return Array.from({ length: view.getUint32(0, true) }, (_, i) => {
    const at = 8 + i * x86.CPUID_ENTRY_SIZE;
    const word = (offset: number): number => view.getUint32(at + offset, true);
    return {
      leaf: word(x86.CPUID_FUNCTION),
      subleaf: word(x86.CPUID_INDEX),
      hasSubleaf: (word(x86.CPUID_FLAGS) & x86.CPUID_SIGNIFICANT_INDEX) !== 0,
      eax: word(x86.CPUID_EAX),
      ebx: word(x86.CPUID_EBX),
      ecx: word(x86.CPUID_ECX),
      edx: word(x86.CPUID_EDX),
    };
  });
}

/** The structure KVM_SET_CPUID2 takes. */
export function encodeCpuid(entries: readonly CpuidEntry[]): Uint8Array {
  const bytes = new Uint8Array(8 + entries.length * x86.CPUID_ENTRY_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, entries.length, true);
  entries.forEach((entry, i) => {
    const at = 8 + i * x86.CPUID_ENTRY_SIZE;
    view.setUint32(at + x86.CPUID_FUNCTION, entry.leaf, true);
    view.setUint32(at + x86.CPUID_INDEX, entry.subleaf, true);
    view.setUint32(at + x86.CPUID_FLAGS, entry.hasSubleaf ? x86.CPUID_SIGNIFICANT_INDEX : 0, true);
    view.setUint32(at + x86.CPUID_EAX, entry.eax, true);
    view.setUint32(at + x86.CPUID_EBX, entry.ebx, true);
    view.setUint32(at + x86.CPUID_ECX, entry.ecx, true);
    view.setUint32(at + x86.CPUID_EDX, entry.edx, true);
  });
  return bytes;
}

/** Opens the device and makes sure that it speaks the one stable API. */
export function openKvm(system: KvmSystem): KvmDevice {
  const device = new KvmDevice(system);
  const version = device.apiVersion();
  if (version === kvm.KVM_API_VERSION) return device;
  device.close();
  throw new KvmError(`KVM_GET_API_VERSION gives ${version}, not ${kvm.KVM_API_VERSION}`, ERRNO.ENOTTY);
}
