import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../ioctls/kvm-error.ts';
import { checkHost, firstCause, isUsable, REQUIRED_CAPABILITIES, USED_CAPABILITIES } from './host-check.ts';
import type { HostFacts } from './host-facts.ts';

const capabilities = Object.fromEntries(
  [...REQUIRED_CAPABILITIES, ...USED_CAPABILITIES].map((name) => [name, 1]),
);

const GOOD: HostFacts = {
  platform: 'linux',
  architecture: 'x64',
  kernelRelease: '6.1.0-49-amd64',
  cpuVendor: 'GenuineIntel',
  cpuFlags: new Set(['fpu', 'vmx']),
  systemVendor: 'Dell Inc.',
  productName: 'OptiPlex',
  hypervisorType: '',
  kernelCommandLine: 'quiet',
  kernelLog: [],
  featureControl: 5n,
  modules: new Set(['kvm', 'kvm_intel']),
  nested: 'Y',
  kernelConfig: { path: '/boot/config', text: 'CONFIG_KVM=m\nCONFIG_KVM_INTEL=m\n' },
  userName: 'ada',
  userId: 1000,
  groups: ['ada', 'kvm'],
  device: { mode: 0o20660, uid: 0, gid: 106, group: 'kvm', accessible: true },
  koffiMissing: undefined,
  probe: {
    failed: undefined,
    apiVersion: 12,
    capabilities: { ...capabilities, MAX_VCPUS: 1024, NR_MEMSLOTS: 509 },
  },
  iommus: ['dmar0'],
  hugePages: { total: 0, transparent: 'madvise' },
  cgroup: { memoryBytes: undefined, cpus: undefined, tasks: undefined },
  memoryBytes: 2 ** 34,
};

/** The status, evidence and remedy of one check. */
function check(id: string, change: Partial<HostFacts>): string {
  const found = checkHost({ ...GOOD, ...change }).find((result) => result.id === id);
  return found === undefined ? 'none' : `${found.status}: ${found.evidence} → ${found.remedy ?? ''}`;
}

test('a host where everything is in order', () => {
  const results = checkHost(GOOD);
  assert.deepEqual(
    results.filter(({ status }) => status !== 'ok'),
    [],
  );
  assert.ok(isUsable(results));
  assert.equal(firstCause(results), undefined);
});

test('another system, another processor, an old kernel', () => {
  assert.match(check('architecture', { platform: 'darwin' }), /^failure: darwin on x64/);
  assert.match(check('architecture', { architecture: 'arm64' }), /^failure/);
  assert.match(check('kernel', { kernelRelease: '2.6.18-8' }), /^failure: .*older than 2.6.20/);
  assert.match(check('kernel', { kernelRelease: '2.6.20' }), /^ok/);
});

test('firmware, nesting and hypervisors', () => {
  const noFlags = {
    cpuFlags: new Set(['fpu']),
    probe: undefined,
    device: undefined,
    modules: new Set(['kvm']),
  };
  assert.match(check('processor', noFlags), /^failure: neither vmx nor svm/);
  assert.match(check('processor', { featureControl: 1n }), /^failure: disabled by firmware.*0x1/);
  const log = ['x86/cpu: VMX (outside TXT) disabled by BIOS'];
  assert.match(check('processor', { ...noFlags, kernelLog: log }), /^failure: disabled by firmware/);
  const inside = (systemVendor: string, productName = ''): Partial<HostFacts> => ({
    ...noFlags,
    cpuFlags: new Set(['hypervisor']),
    systemVendor,
    productName,
  });
  assert.match(check('hypervisor', inside('VMware, Inc.')), /inside VMware.*Virtualize/);
  assert.match(check('hypervisor', inside('innotek GmbH', 'VirtualBox')), /--nested-hw-virt on/);
  assert.match(
    check('hypervisor', inside('Microsoft Corporation', 'Virtual Machine')),
    /Hyper-V.*ExposeVirtualization/,
  );
  assert.match(check('hypervisor', inside('QEMU')), /nested=1/);
  assert.match(
    check('hypervisor', { cpuFlags: new Set(['hypervisor', 'svm']) }),
    /^ok: inside .* passes svm on/,
  );
  assert.match(
    check('hypervisor', { cpuFlags: new Set(['hypervisor']), modules: new Set(['kvm_pvm']) }),
    /^warning: inside .*pvm/,
  );
  assert.match(check('nesting', { nested: '0' }), /off/);
});

test('modules, device and permissions', () => {
  assert.match(
    check('modules', { modules: new Set(), device: undefined }),
    /^failure.*sudo modprobe kvm_intel/,
  );
  assert.match(
    check('modules', { modules: new Set(['kvm']), device: undefined, cpuVendor: 'AuthenticAMD' }),
    /sudo modprobe kvm_amd/,
  );
  assert.match(check('device', { device: undefined }), /^failure.*--device \/dev\/kvm/);
  const forbidden = { mode: 0o20660, uid: 0, gid: 106, group: 'kvm', accessible: false };
  assert.match(check('device', { device: forbidden }), /sudo usermod -aG kvm ada/);
  assert.match(
    check('device', { device: { ...forbidden, mode: 0o20600, gid: 0, group: 'root' } }),
    /sudo chgrp kvm/,
  );
  const none = { path: '/proc/config.gz', text: '# CONFIG_KVM is not set\n' };
  assert.match(
    check('configuration', { kernelConfig: none, modules: new Set(), device: undefined }),
    /^failure.*scripts\/config -m KVM/,
  );
  assert.match(check('koffi', { koffiMissing: 'kvm needs koffi' }), /^failure.*npm install koffi/);
});

test('what the device itself answers', () => {
  const failed = (errno: number): Partial<HostFacts> => ({
    probe: { failed: { step: 'KVM_CREATE_VM', errno }, apiVersion: 12, capabilities: {} },
  });
  assert.match(check('api', failed(ERRNO.EBUSY)), /^failure: busy: another hypervisor/);
  assert.match(
    check('api', { ...failed(ERRNO.EBUSY), modules: new Set(['kvm', 'kvm_intel', 'vboxdrv']) }),
    /VirtualBox holds.*modprobe -r vboxdrv/,
  );
  assert.match(check('api', failed(ERRNO.ENOMEM)), /out of memory/);
  assert.match(check('api', failed(ERRNO.EACCES)), /10:232/);
  const few = { failed: undefined, apiVersion: 12, capabilities: { ...capabilities, MP_STATE: 0, IRQFD: 0 } };
  assert.match(check('capabilities', { probe: few }), /^failure: missing: MP_STATE/);
  assert.match(
    check('capabilities', { probe: { ...few, capabilities: { ...capabilities, IRQFD: 0 } } }),
    /^warning: .*without IRQFD/,
  );
});

test('limits of the control group', () => {
  const cgroup = { memoryBytes: 2 ** 28, cpus: 1.5, tasks: undefined };
  assert.match(check('limits', { cgroup }), /^warning: limits: memory 256 MiB, 1.5 processors/);
});

test('the one line of -accel kvm names cause and remedy', () => {
  const results = checkHost({ ...GOOD, device: { ...GOOD.device!, accessible: false } });
  assert.match(
    firstCause(results) ?? '',
    /^no permission: .*\(sudo usermod -aG kvm ada, then log in again\)$/,
  );
});
