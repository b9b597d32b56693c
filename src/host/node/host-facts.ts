/** Collects what `lyrebird host check` judges, from /proc, /sys and /dev below a root directory. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs';
import { totalmem, userInfo } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { capabilityNumbers } from '../../accel/kvm/check/capability-names.ts';
import type { DeviceFacts, HostFacts, KvmProbe } from '../../accel/kvm/check/host-facts.ts';
import { KvmDevice } from '../../accel/kvm/ioctls/kvm-device.ts';
import { KvmError } from '../../accel/kvm/ioctls/kvm-error.ts';
import { loadKvmSystem } from './kvm-system.ts';

export interface FactsOptions {
  /** Directory that stands for `/`: a test's fixtures. Then no device is opened. */
  readonly root?: string;
}

/** Never fails: what cannot be read is unknown. */
export function collectHostFacts({ root = '' }: FactsOptions = {}): HostFacts {
  const files = new Files(root);
  const isFixture = root !== '';
  const cpuinfo = files.text('/proc/cpuinfo');
  const modules = loadedModules(files);
  const user = currentUser();
  const groups = groupNames(files);
  const koffiMissing = isFixture ? undefined : koffiProblem();
  const device = deviceFacts(files, groups, isFixture);
  return {
    platform: isFixture ? 'linux' : process.platform,
    architecture: isFixture ? 'x64' : process.arch,
    kernelRelease: files.text('/proc/sys/kernel/osrelease').trim(),
    cpuVendor: field(cpuinfo, 'vendor_id'),
    cpuFlags: new Set(field(cpuinfo, 'flags').split(/\s+/).filter(Boolean)),
    systemVendor: files.text('/sys/class/dmi/id/sys_vendor').trim(),
    productName: files.text('/sys/class/dmi/id/product_name').trim(),
    hypervisorType: files.text('/sys/hypervisor/type').trim(),
    kernelCommandLine: files.text('/proc/cmdline').trim(),
    kernelLog: kernelLog(files, isFixture),
    featureControl: isFixture ? undefined : readFeatureControl(),
    modules,
    nested: nestedParameter(files),
    kernelConfig: kernelConfig(files),
    ...user,
    groups: user.groupIds.map((id) => groups.get(id) ?? String(id)),
    device,
    koffiMissing,
    probe: isFixture || koffiMissing !== undefined || device?.accessible !== true ? undefined : probeKvm(),
    iommus: files.list('/sys/class/iommu'),
    hugePages: {
      total: Number(field(files.text('/proc/meminfo'), 'HugePages_Total') || 0),
      transparent: /\[(\w+)\]/.exec(files.text('/sys/kernel/mm/transparent_hugepage/enabled'))?.[1] ?? '',
    },
    cgroup: cgroupLimits(files),
    memoryBytes: totalmem(),
  };
}

class Files {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  path(path: string): string {
    return this.#root + path;
  }

  bytes(path: string): Buffer | undefined {
    try {
      return readFileSync(this.path(path));
    } catch {
      return undefined;
    }
  }

  /** Empty if it cannot be read. */
  text(path: string): string {
    return this.bytes(path)?.toString('utf8') ?? '';
  }

  list(path: string): string[] {
    try {
      return readdirSync(this.path(path)).sort();
    } catch {
      return [];
    }
  }
}

/** The value of the first line `name : value`. */
function field(text: string, name: string): string {
  return new RegExp(`^${name}\\s*:\\s*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
}

/** Modules that were loaded, and those of KVM that are built in. */
function loadedModules(files: Files): Set<string> {
  const loaded = files
    .text('/proc/modules')
    .split('\n')
    .map((line) => line.split(' ')[0]!);
  const builtIn = files.list('/sys/module').filter((name) => /^kvm(_intel|_amd|_pvm)?$/.test(name));
  return new Set([...loaded, ...builtIn].filter(Boolean));
}

function currentUser(): { userName: string; userId: number; groupIds: number[] } {
  const userId = process.getuid?.() ?? 0;
  const groupIds = [...new Set([process.getgid?.() ?? 0, ...(process.getgroups?.() ?? [])])];
  try {
    return { userName: userInfo().username, userId, groupIds };
  } catch {
    return { userName: String(userId), userId, groupIds };
  }
}

function groupNames(files: Files): ReadonlyMap<number, string> {
  const rows = files
    .text('/etc/group')
    .split('\n')
    .map((line) => line.split(':'));
  return new Map(rows.filter((row) => row.length > 2).map((row) => [Number(row[2]), row[0]!]));
}

function deviceFacts(
  files: Files,
  groups: ReadonlyMap<number, string>,
  isFixture: boolean,
): DeviceFacts | undefined {
  const path = files.path('/dev/kvm');
  if (!existsSync(path)) return undefined;
  const { mode, uid, gid } = statSync(path);
  let accessible = true;
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch {
    accessible = false;
  }
  if (isFixture) accessible = (mode & 0o006) === 0o006;
  return { mode, uid, gid, group: groups.get(gid), accessible };
}

function koffiProblem(): string | undefined {
  try {
    loadKvmSystem();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function probeKvm(): KvmProbe {
  const capabilities: Record<string, number> = {};
  let apiVersion: number | undefined;
  let step: NonNullable<KvmProbe['failed']>['step'] = 'open';
  try {
    const device = new KvmDevice(loadKvmSystem());
    step = 'KVM_GET_API_VERSION';
    apiVersion = device.apiVersion();
    for (const [name, number] of capabilityNumbers()) capabilities[name] = device.capability(number);
    step = 'KVM_CREATE_VM';
    device.createVm().close();
    device.close();
    return { failed: undefined, apiVersion, capabilities };
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    return { failed: { step, errno: error.errno }, apiVersion, capabilities };
  }
}

function nestedParameter(files: Files): string | undefined {
  for (const name of ['kvm_intel', 'kvm_amd']) {
    const value = files.text(`/sys/module/${name}/parameters/nested`).trim();
    if (value !== '') return value;
  }
  return undefined;
}

function kernelConfig(files: Files): HostFacts['kernelConfig'] {
  const release = files.text('/proc/sys/kernel/osrelease').trim();
  for (const path of [
    `/boot/config-${release}`,
    `/lib/modules/${release}/config`,
    `/usr/lib/modules/${release}/config`,
  ]) {
    const text = files.text(path);
    if (text !== '') return { path, text };
  }
  const packed = files.bytes('/proc/config.gz');
  if (packed === undefined) return undefined;
  try {
    return { path: '/proc/config.gz', text: gunzipSync(packed).toString('latin1') };
  } catch {
    return undefined;
  }
}

const ABOUT_VIRTUALIZATION = /\b(kvm|vmx|svm)\b/i;
const MAX_LOG_LINES = 20_000;

/** /dev/kmsg gives one record per read; without the right to read it the log is unknown. */
function kernelLog(files: Files, isFixture: boolean): string[] {
  if (isFixture)
    return files
      .text('/dev/kmsg')
      .split('\n')
      .filter((line) => ABOUT_VIRTUALIZATION.test(line));
  const out: string[] = [];
  try {
    const fd = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
    const buffer = Buffer.alloc(8192);
    try {
      for (let i = 0; i < MAX_LOG_LINES; i++) {
        const text =
          buffer.toString('utf8', 0, readSync(fd, buffer)).split(';').slice(1).join(';').split('\n')[0] ?? '';
        if (ABOUT_VIRTUALIZATION.test(text)) out.push(text);
      }
    } finally {
      closeSync(fd);
    }
  } catch {
    // the end (EAGAIN), or not permitted
  }
  return out;
}

const IA32_FEATURE_CONTROL = 0x3a;

function readFeatureControl(): bigint | undefined {
  try {
    const fd = openSync('/dev/cpu/0/msr', 'r');
    try {
      const buffer = Buffer.alloc(8);
      return readSync(fd, buffer, 0, 8, IA32_FEATURE_CONTROL) === 8 ? buffer.readBigUInt64LE() : undefined;
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** Version 2 of control groups, or version 1. "max" and absurdly large values mean no limit. */
function cgroupLimits(files: Files): HostFacts['cgroup'] {
  const own = /^0::(\/.*)$/m.exec(files.text('/proc/self/cgroup'))?.[1] ?? '/';
  const read = (name: string): string =>
    files.text(`/sys/fs/cgroup${own === '/' ? '' : own}/${name}`).trim() ||
    files.text(`/sys/fs/cgroup/${name}`).trim();
  const number = (text: string): number | undefined => {
    const value = Number(text);
    return text === '' || !Number.isFinite(value) || value > 2 ** 60 ? undefined : value;
  };
  const [quota = '', period = ''] = read('cpu.max').split(' ');
  const cpus = number(quota) === undefined ? undefined : Number(quota) / (Number(period) || 100_000);
  const memory = read('memory.max') || files.text('/sys/fs/cgroup/memory/memory.limit_in_bytes').trim();
  return { memoryBytes: number(memory), cpus, tasks: number(read('pids.max')) };
}
