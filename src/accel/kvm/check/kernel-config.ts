/** Reads a Linux kernel's configuration: is it a good KVM guest, can it be a KVM host? */

export type Setting = 'y' | 'm' | 'n';

/** Values of `CONFIG_*` that are y or m, by name without the prefix. */
export function parseKernelConfig(text: string): ReadonlyMap<string, Setting> {
  const out = new Map<string, Setting>();
  for (const match of text.matchAll(/^CONFIG_(\w+)=([ym])$/gm)) out.set(match[1]!, match[2] as Setting);
  return out;
}

/** Whether the text looks like a configuration at all. */
export function isKernelConfig(text: string): boolean {
  return /^(CONFIG_\w+=|# CONFIG_\w+ is not set$)/m.test(text);
}

export interface KernelOption {
  readonly name: string;
  readonly why: string;
  /** Without it the kernel does not do; otherwise it is worse off. */
  readonly required: boolean;
}

const need = (name: string, why: string): KernelOption => ({ name, why, required: true });
const want = (name: string, why: string): KernelOption => ({ name, why, required: false });

/** What `make kvm_guest.config` sets, as far as x86 is concerned. */
export const GUEST_OPTIONS: readonly KernelOption[] = [
  need('TTY', 'a console'),
  need('SERIAL_8250', 'the serial port'),
  need('SERIAL_8250_CONSOLE', 'kernel messages on the serial port (console=ttyS0)'),
  need('BINFMT_ELF', 'programs'),
  need('BLOCK', 'disks'),
  need('PCI', 'the bus of virtio devices'),
  want('PCI_MSI', 'interrupts of virtio queues'),
  need('VIRTUALIZATION', 'the menu of these options'),
  want('HYPERVISOR_GUEST', 'knows that it is a guest'),
  want('PARAVIRT', 'replaces what costs an exit'),
  want('KVM_GUEST', 'kvmclock, steal time, cheap end of interrupt'),
  need('VIRTIO', 'virtio devices'),
  need('VIRTIO_MENU', 'the menu of virtio drivers'),
  need('VIRTIO_PCI', 'virtio on PCI'),
  need('VIRTIO_BLK', 'virtio disks'),
  want('VIRTIO_CONSOLE', 'virtio console'),
  need('NET', 'networking'),
  need('INET', 'TCP/IP'),
  need('NETDEVICES', 'network devices'),
  need('VIRTIO_NET', 'virtio network card'),
  want('IP_PNP', 'an address from the kernel command line'),
  want('IP_PNP_DHCP', 'an address by DHCP at boot'),
  want('NETWORK_FILESYSTEMS', 'network file systems'),
  want('NET_9P', 'shared folders: protocol'),
  want('NET_9P_VIRTIO', 'shared folders: transport'),
  want('9P_FS', 'shared folders: file system'),
  want('SCSI_VIRTIO', 'virtio SCSI disks'),
  want('VIRTIO_INPUT', 'virtio keyboard and mouse'),
  want('DRM_VIRTIO_GPU', 'virtio display'),
];

export const HOST_OPTIONS: readonly KernelOption[] = [
  need('VIRTUALIZATION', 'the menu of these options'),
  need('KVM', 'KVM'),
  need('EVENTFD', 'irqfd and ioeventfd'),
  want('KVM_INTEL', 'Intel processors'),
  want('KVM_AMD', 'AMD processors'),
  want('TUN', 'network cards of guests (tap)'),
  want('VHOST_NET', 'virtio network in the kernel'),
  want('TRANSPARENT_HUGEPAGE', 'large pages for guest memory'),
];

export interface KernelVerdict {
  readonly role: 'guest' | 'host';
  /** Every required option is there (and, for a host, a vendor's module). */
  readonly able: boolean;
  /** Nothing at all is missing. */
  readonly good: boolean;
  readonly missing: readonly KernelOption[];
  /** A command that turns the missing options on, in the kernel's source tree. */
  readonly remedy: string | undefined;
}

function missingOptions(
  config: ReadonlyMap<string, Setting>,
  options: readonly KernelOption[],
): KernelOption[] {
  return options.filter(({ name }) => !config.has(name));
}

/** `make` target or `scripts/config` line. */
function configLine(missing: readonly KernelOption[]): string {
  return `scripts/config ${missing.map(({ name }) => `-e ${name}`).join(' ')} && make olddefconfig`;
}

export function checkGuestKernel(config: ReadonlyMap<string, Setting>): KernelVerdict {
  const missing = missingOptions(config, GUEST_OPTIONS);
  return {
    role: 'guest',
    able: !missing.some(({ required }) => required),
    good: missing.length === 0,
    missing,
    remedy: missing.length === 0 ? undefined : `make kvm_guest.config, or: ${configLine(missing)}`,
  };
}

export function checkHostKernel(config: ReadonlyMap<string, Setting>): KernelVerdict {
  const missing = missingOptions(config, HOST_OPTIONS);
  const vendor = config.has('KVM_INTEL') || config.has('KVM_AMD');
  const lines = missing.map(({ name }) =>
    /^(KVM|KVM_INTEL|KVM_AMD|TUN|VHOST_NET)$/.test(name) ? `-m ${name}` : `-e ${name}`,
  );
  return {
    role: 'host',
    able: vendor && !missing.some(({ required }) => required),
    good: missing.length === 0,
    missing,
    remedy: missing.length === 0 ? undefined : `scripts/config ${lines.join(' ')} && make olddefconfig`,
  };
}
