/** Judges a host: can it run guests under KVM, and if not, what is to be changed? */
import { ERRNO, errnoName } from '../ioctls/kvm-error.ts';
import type { HostFacts } from './host-facts.ts';

export type CheckStatus = 'ok' | 'warning' | 'failure';

export interface CheckResult {
  /** Stable, for scripts. */
  readonly id: string;
  readonly title: string;
  readonly status: CheckStatus;
  readonly evidence: string;
  /** What mends it: a command where there is one. */
  readonly remedy?: string;
}

/** KVM came with Linux 2.6.20. */
const FIRST_KERNEL = [2, 6, 20] as const;

/** Capabilities without which Lyrebird cannot run a guest, and those it uses where they exist. */
export const REQUIRED_CAPABILITIES = [
  'USER_MEMORY',
  'SYNC_MMU',
  'EXT_CPUID',
  'MP_STATE',
  'VCPU_EVENTS',
  'XSAVE',
  'IMMEDIATE_EXIT',
] as const;
export const USED_CAPABILITIES = [
  'IRQCHIP',
  'PIT2',
  'PIT_STATE2',
  'SPLIT_IRQCHIP',
  'IRQ_ROUTING',
  'IRQFD',
  'IOEVENTFD',
  'SIGNAL_MSI',
  'READONLY_MEM',
  'COALESCED_MMIO',
  'COALESCED_PIO',
  'ADJUST_CLOCK',
  'DEBUGREGS',
  'XCRS',
  'SET_GUEST_DEBUG',
  'TSC_DEADLINE_TIMER',
  'X2APIC_API',
  'INTERNAL_ERROR_DATA',
] as const;

type Check = (facts: HostFacts) => CheckResult | undefined;

const result = (
  id: string,
  title: string,
  status: CheckStatus,
  evidence: string,
  remedy?: string,
): CheckResult => ({ id, title, status, evidence, ...(remedy === undefined ? {} : { remedy }) });

/** Every check that has something to say, in the order in which causes come before their consequences. */
export function checkHost(facts: HostFacts): CheckResult[] {
  return CHECKS.map((check) => check(facts)).filter((found): found is CheckResult => found !== undefined);
}

/** No failure. */
export function isUsable(results: readonly CheckResult[]): boolean {
  return results.every(({ status }) => status !== 'failure');
}

/** The first cause of failure in one line, for the error of `-accel kvm`; undefined if there is none. */
export function firstCause(results: readonly CheckResult[]): string | undefined {
  const failure = results.find(({ status }) => status === 'failure');
  if (failure === undefined) return undefined;
  return `${failure.evidence}${failure.remedy === undefined ? '' : ` (${failure.remedy})`}`;
}

const architecture: Check = ({ platform, architecture: arch }) => {
  const evidence = `${platform} on ${arch}`;
  if (platform !== 'linux')
    return result(
      'architecture',
      'system',
      'failure',
      `${evidence}: KVM is a part of Linux`,
      'use -accel tcg',
    );
  if (arch !== 'x64')
    return result(
      'architecture',
      'system',
      'failure',
      `${evidence}: only x86-64 hosts are supported`,
      'use -accel tcg',
    );
  return result('architecture', 'system', 'ok', evidence);
};

const kernelVersion: Check = ({ platform, kernelRelease }) => {
  if (platform !== 'linux') return undefined;
  const parts = (/^(\d+)\.(\d+)(?:\.(\d+))?/.exec(kernelRelease) ?? []).slice(1).map((n) => Number(n ?? 0));
  const difference = FIRST_KERNEL.map((n, i) => (parts[i] ?? 0) - n).find((d) => d !== 0) ?? 0;
  if (parts.length > 0 && difference < 0)
    return result(
      'kernel',
      'kernel',
      'failure',
      `Linux ${kernelRelease} is older than 2.6.20`,
      'use a newer kernel',
    );
  return result('kernel', 'kernel', 'ok', `Linux ${kernelRelease} (KVM is in Linux since 2.6.20)`);
};

/** What a hypervisor calls itself in the firmware's tables. */
const HYPERVISORS: ReadonlyArray<readonly [RegExp, string]> = [
  [/vmware/i, 'VMware'],
  [/innotek|virtualbox/i, 'VirtualBox'],
  [/microsoft corporation.*virtual machine/i, 'Hyper-V'],
  [/amazon ec2/i, 'Amazon EC2'],
  [/google/i, 'Google Compute Engine'],
  [/parallels/i, 'Parallels'],
  [/xen/i, 'Xen'],
  [/bhyve/i, 'bhyve'],
  [/qemu|kvm|bochs|red hat|openstack|digitalocean/i, 'KVM or QEMU'],
];

/** The name of the hypervisor below this system; undefined: none is seen. */
export function hypervisorName(facts: HostFacts): string | undefined {
  if (!facts.cpuFlags.has('hypervisor') && facts.hypervisorType === '') return undefined;
  if (facts.hypervisorType !== '') return facts.hypervisorType;
  if (facts.modules.has('kvm_pvm')) return 'a hypervisor that offers pvm';
  const firmware = `${facts.systemVendor} ${facts.productName}`;
  return (
    HYPERVISORS.find(([pattern]) => pattern.test(firmware))?.[1] ?? 'a hypervisor that does not give its name'
  );
}

function virtualizationFlag(facts: HostFacts): 'vmx' | 'svm' | undefined {
  return facts.cpuFlags.has('vmx') ? 'vmx' : facts.cpuFlags.has('svm') ? 'svm' : undefined;
}

const hypervisor: Check = (facts) => {
  const name = hypervisorName(facts);
  if (name === undefined) return result('hypervisor', 'hypervisor', 'ok', 'this is not a virtual machine');
  const flag = virtualizationFlag(facts);
  if (flag !== undefined)
    return result(
      'hypervisor',
      'hypervisor',
      'ok',
      `inside ${name}, which passes ${flag} on (nested virtualization)`,
    );
  if (facts.modules.has('kvm_pvm'))
    return result(
      'hypervisor',
      'hypervisor',
      'warning',
      `inside ${name}: guests run without VT-x or AMD-V, and not all of them`,
    );
  return result(
    'hypervisor',
    'hypervisor',
    'warning',
    `inside ${name}, which does not pass VT-x or AMD-V on`,
    nestingHint(name),
  );
};

function nestingHint(name: string): string {
  const hints: Readonly<Record<string, string>> = {
    VMware: 'switch "Virtualize Intel VT-x/EPT or AMD-V/RVI" on for this machine',
    VirtualBox: 'VBoxManage modifyvm NAME --nested-hw-virt on',
    'Hyper-V': 'Set-VMProcessor -VMName NAME -ExposeVirtualizationExtensions $true',
    'Amazon EC2': 'use a .metal instance',
    'Google Compute Engine': 'create the instance with --enable-nested-virtualization',
  };
  return (
    hints[name] ??
    'on its host: modprobe kvm_intel nested=1 (or kvm_amd), and start this machine with -cpu host'
  );
}

/** IA32_FEATURE_CONTROL: bit 0 locks it, bit 2 allows VMX outside SMX (SDM Vol. 3C 23.7). */
function firmwareForbids({ featureControl, kernelLog }: HostFacts): string | undefined {
  const line = kernelLog.find((text) =>
    /disabled by (the )?(bios|firmware)|SVM disabled|not enabled in .*BIOS/i.test(text),
  );
  if (line !== undefined) return `the kernel's log says "${line.trim()}"`;
  if (featureControl !== undefined && (featureControl & 5n) === 1n)
    return `IA32_FEATURE_CONTROL is 0x${featureControl.toString(16)}: locked with VMX off`;
  return undefined;
}

const processor: Check = (facts) => {
  if (facts.architecture !== 'x64') return undefined;
  const flag = virtualizationFlag(facts);
  const forbidden = firmwareForbids(facts);
  if (forbidden !== undefined && !facts.modules.has('kvm_pvm'))
    return result(
      'processor',
      'virtualization',
      'failure',
      `disabled by firmware: ${forbidden}`,
      'switch "Intel Virtualization Technology" or "SVM Mode" on in the firmware\'s setup and power-cycle',
    );
  if (flag !== undefined)
    return result(
      'processor',
      'virtualization',
      'ok',
      `${flag === 'vmx' ? 'VT-x (vmx)' : 'AMD-V (svm)'} in /proc/cpuinfo`,
    );
  if (facts.modules.has('kvm_pvm'))
    return result(
      'processor',
      'virtualization',
      'warning',
      'neither vmx nor svm in /proc/cpuinfo; kvm_pvm works without',
    );
  const remedy =
    hypervisorName(facts) === undefined
      ? 'look in the firmware\'s setup for "Intel Virtualization Technology" or "SVM Mode"'
      : nestingHint(hypervisorName(facts)!);
  // A working device is worth more than a flag that is missing.
  const status = facts.probe !== undefined && facts.probe.failed === undefined ? 'warning' : 'failure';
  return result(
    'processor',
    'virtualization',
    status,
    `neither vmx nor svm in /proc/cpuinfo (${facts.cpuVendor || 'unknown vendor'})`,
    remedy,
  );
};

const configuration: Check = ({ kernelConfig, modules, device }) => {
  if (kernelConfig === undefined) return undefined;
  const { path, text } = kernelConfig;
  const setting = (name: string): string => new RegExp(`^CONFIG_${name}=([ym])`, 'm').exec(text)?.[1] ?? 'n';
  const names = ['KVM', 'KVM_INTEL', 'KVM_AMD'];
  const evidence = `${names.map((name) => `CONFIG_${name}=${setting(name)}`).join(' ')} (${path})`;
  if (setting('KVM') === 'n' && device === undefined && !modules.has('kvm'))
    return result(
      'configuration',
      'kernel configuration',
      'failure',
      evidence,
      'use a kernel with CONFIG_KVM (scripts/config -m KVM -m KVM_INTEL -m KVM_AMD)',
    );
  return result('configuration', 'kernel configuration', 'ok', evidence);
};

const VENDOR_MODULES = ['kvm_intel', 'kvm_amd', 'kvm_pvm'];

const kvmModules: Check = (facts) => {
  if (facts.platform !== 'linux') return undefined;
  const loaded = ['kvm', ...VENDOR_MODULES].filter((name) => facts.modules.has(name));
  const evidence = loaded.length === 0 ? 'none of kvm, kvm_intel, kvm_amd, kvm_pvm' : loaded.join(', ');
  if (loaded.some((name) => VENDOR_MODULES.includes(name)))
    return result('modules', 'modules', 'ok', evidence);
  if (facts.device !== undefined)
    return result('modules', 'modules', 'ok', `${evidence} seen, but /dev/kvm exists`);
  const module =
    facts.cpuVendor === 'AuthenticAMD' || facts.cpuVendor === 'HygonGenuine' ? 'kvm_amd' : 'kvm_intel';
  return result('modules', 'modules', 'failure', `${evidence} loaded`, `sudo modprobe ${module}`);
};

const nesting: Check = ({ nested }) => {
  if (nested === undefined) return undefined;
  const on = nested === 'Y' || nested === '1';
  return result('nesting', 'nesting for guests', 'ok', on ? 'on' : 'off (guests cannot run KVM themselves)');
};

const device: Check = (facts) => {
  if (facts.platform !== 'linux') return undefined;
  const { device: node } = facts;
  if (node === undefined)
    return result(
      'device',
      '/dev/kvm',
      'failure',
      '/dev/kvm does not exist',
      facts.modules.has('kvm') ? 'in a container: start it with --device /dev/kvm' : 'load the KVM modules',
    );
  const mode = (node.mode & 0o777).toString(8).padStart(4, '0');
  const group = node.group ?? String(node.gid);
  const evidence = `mode ${mode}, owner ${node.uid}, group ${group}; user ${facts.userName} (${facts.groups.join(' ')})`;
  if (node.accessible) return result('device', '/dev/kvm', 'ok', evidence);
  const groupMay = (node.mode & 0o060) === 0o060;
  const remedy =
    groupMay && node.gid !== 0
      ? `sudo usermod -aG ${group} ${facts.userName}, then log in again`
      : `sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm && sudo usermod -aG kvm ${facts.userName}`;
  return result('device', '/dev/kvm', 'failure', `no permission: ${evidence}`, remedy);
};

const koffi: Check = ({ koffiMissing, platform, architecture: arch }) => {
  if (platform !== 'linux' || arch !== 'x64') return undefined;
  return koffiMissing === undefined
    ? result('koffi', 'koffi', 'ok', 'installed')
    : result('koffi', 'koffi', 'failure', koffiMissing, 'npm install koffi');
};

const HOLDERS: readonly (readonly [string, string])[] = [
  ['vboxdrv', 'VirtualBox'],
  ['vmmon', 'VMware'],
  ['jailhouse', 'Jailhouse'],
  ['acrn', 'ACRN'],
];

const api: Check = ({ probe, modules }) => {
  if (probe === undefined) return undefined;
  const { failed, apiVersion } = probe;
  if (failed === undefined)
    return apiVersion === 12
      ? result('api', 'API', 'ok', 'version 12, a machine can be created')
      : result('api', 'API', 'failure', `version ${apiVersion}, not 12`, 'use another kernel');
  const evidence = `${failed.step}: ${errnoName(failed.errno)}`;
  if (failed.errno === ERRNO.EBUSY) {
    const holder = HOLDERS.find(([module]) => modules.has(module));
    const who = holder === undefined ? 'another hypervisor' : holder[1];
    const remedy =
      holder === undefined
        ? 'stop the other hypervisor'
        : `stop its machines, or sudo modprobe -r ${holder[0]}`;
    return result('api', 'API', 'failure', `busy: ${who} holds VT-x or AMD-V (${evidence})`, remedy);
  }
  if (failed.errno === ERRNO.ENOMEM)
    return result(
      'api',
      'API',
      'failure',
      `out of memory (${evidence})`,
      'raise the memory limit of this process or its control group',
    );
  if (failed.errno === ERRNO.EACCES || failed.errno === ERRNO.EPERM)
    return result(
      'api',
      'API',
      'failure',
      `not permitted (${evidence})`,
      'a security policy or a device cgroup forbids it: allow character device 10:232',
    );
  return result('api', 'API', 'failure', evidence, "see the kernel's log: dmesg | grep -i kvm");
};

const capabilities: Check = ({ probe }) => {
  if (probe === undefined || probe.failed !== undefined) return undefined;
  const has = (name: string): boolean => (probe.capabilities[name] ?? 0) !== 0;
  const missing = REQUIRED_CAPABILITIES.filter((name) => !has(name));
  if (missing.length > 0)
    return result(
      'capabilities',
      'capabilities',
      'failure',
      `missing: ${missing.join(' ')}`,
      'use a newer kernel',
    );
  const absent = USED_CAPABILITIES.filter((name) => !has(name));
  const vcpus = probe.capabilities['MAX_VCPUS'] || probe.capabilities['NR_VCPUS'] || 0;
  const count = REQUIRED_CAPABILITIES.length + USED_CAPABILITIES.length - absent.length;
  const evidence = `${count} of those Lyrebird uses; up to ${vcpus} vCPUs, ${probe.capabilities['NR_MEMSLOTS'] ?? 0} memory slots`;
  return absent.length === 0
    ? result('capabilities', 'capabilities', 'ok', evidence)
    : result('capabilities', 'capabilities', 'warning', `${evidence}; without ${absent.join(' ')}`);
};

const iommu: Check = ({ iommus, platform }) => {
  if (platform !== 'linux') return undefined;
  return iommus.length > 0
    ? result('iommu', 'IOMMU', 'ok', iommus.join(' '))
    : result(
        'iommu',
        'IOMMU',
        'ok',
        'none (needed for passing devices through only; intel_iommu=on or amd_iommu=on)',
      );
};

const hugePages: Check = ({ hugePages: { total, transparent }, platform }) => {
  if (platform !== 'linux') return undefined;
  const evidence = `${total} reserved; transparent: ${transparent || 'not in this kernel'}`;
  return result('huge-pages', 'huge pages', 'ok', evidence);
};

const MIB = 2 ** 20;

const limits: Check = ({ cgroup: { memoryBytes, cpus, tasks }, platform }) => {
  if (platform !== 'linux') return undefined;
  const parts = [
    ...(memoryBytes === undefined ? [] : [`memory ${Math.floor(memoryBytes / MIB)} MiB`]),
    ...(cpus === undefined ? [] : [`${cpus} processors`]),
    ...(tasks === undefined ? [] : [`${tasks} tasks`]),
  ];
  if (parts.length === 0) return result('limits', 'control group', 'ok', 'no limits');
  const tight = (memoryBytes !== undefined && memoryBytes < 512 * MIB) || (tasks !== undefined && tasks < 64);
  return tight
    ? result(
        'limits',
        'control group',
        'warning',
        `limits: ${parts.join(', ')}`,
        'systemd-run --user -p MemoryMax=4G -p TasksMax=512 lyrebird …',
      )
    : result('limits', 'control group', 'ok', `limits: ${parts.join(', ')}`);
};

const CHECKS: readonly Check[] = [
  architecture,
  kernelVersion,
  hypervisor,
  processor,
  configuration,
  kvmModules,
  device,
  koffi,
  api,
  capabilities,
  nesting,
  iommu,
  hugePages,
  limits,
];
