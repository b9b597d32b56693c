import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { GUEST_OPTIONS, HOST_OPTIONS } from '../accel/kvm/check/kernel-config.ts';
import { hostCheck, kernelCheck } from './host-check.ts';

const directory = mkdtempSync(join(tmpdir(), 'lyrebird-check-'));
after(() => rmSync(directory, { recursive: true }));

function write(path: string, content: string | Buffer): string {
  const full = join(directory, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
  return full;
}

test('a host is judged by its /proc and /sys', () => {
  write('host/proc/cpuinfo', 'vendor_id\t: AuthenticAMD\nflags\t\t: fpu svm\n');
  write('host/proc/sys/kernel/osrelease', '6.1.0-49-amd64\n');
  write('host/proc/modules', 'kvm 1 0 - Live 0x0\n');
  write('host/proc/self/cgroup', '0::/job\n');
  write('host/sys/fs/cgroup/job/memory.max', '1073741824\n');
  write('host/sys/fs/cgroup/job/cpu.max', '150000 100000\n');
  write('host/sys/fs/cgroup/job/pids.max', 'max\n');
  write('host/sys/module/kvm_amd/parameters/nested', '1\n');
  write('host/etc/group', 'kvm:x:106:\n');
  write('host/proc/config.gz', gzipSync('CONFIG_KVM=m\nCONFIG_KVM_AMD=m\n'));
  const { text, status } = hostCheck(['--root', join(directory, 'host'), '--json']);
  const report = JSON.parse(text) as {
    usable: boolean;
    checks: Array<{ id: string; status: string; evidence: string }>;
  };
  const of = (id: string): string => {
    const found = report.checks.find((check) => check.id === id);
    return `${found?.status}: ${found?.evidence}`;
  };
  assert.equal(status, 1);
  assert.equal(report.usable, false);
  assert.equal(of('processor'), 'ok: AMD-V (svm) in /proc/cpuinfo');
  assert.match(of('device'), /failure: \/dev\/kvm does not exist/);
  assert.match(
    of('configuration'),
    /ok: CONFIG_KVM=m CONFIG_KVM_INTEL=n CONFIG_KVM_AMD=m \(\/proc\/config.gz\)/,
  );
  assert.match(of('limits'), /memory 1024 MiB, 1.5 processors/);
  assert.match(
    hostCheck(['--root', join(directory, 'host')]).text,
    /FAILURE {2}\/dev\/kvm[\s\S]*KVM cannot be used/,
  );
});

test('this host can be checked', () => {
  const { text, status } = hostCheck([]);
  assert.match(text, status === 0 ? /KVM can be used/ : /FAILURE[\s\S]*cannot/);
});

test('kernel configurations: text, gzip, inside a kernel', () => {
  const all = [...GUEST_OPTIONS, ...HOST_OPTIONS].map(({ name }) => `CONFIG_${name}=y`).join('\n');
  assert.equal(kernelCheck([write('all', `${all}\n`)]).status, 0);
  assert.equal(kernelCheck([write('all.gz', gzipSync(`${all}\n`))]).status, 0);
  const elf = Buffer.concat([
    Buffer.from('\x7fELF stuff IKCFG_ST', 'latin1'),
    gzipSync(`${all}\n`),
    Buffer.from('IKCFG_ED and more'),
  ]);
  assert.equal(kernelCheck([write('vmlinux', elf)]).status, 0);
  const setup = Buffer.alloc(1024);
  setup[0x1f1] = 1;
  setup.write('HdrS', 0x202, 'latin1');
  const body = gzipSync(elf);
  setup.writeUInt32LE(0, 0x248);
  setup.writeUInt32LE(body.length, 0x24c);
  assert.equal(kernelCheck([write('vmlinuz', Buffer.concat([setup, body]))]).status, 0);
});

test('what is missing is named with the line that adds it', () => {
  const path = write('some', 'CONFIG_TTY=y\n# CONFIG_KVM is not set\n');
  const { text, status } = kernelCheck([path]);
  assert.equal(status, 2);
  assert.match(text, /CONFIG_VIRTIO_PCI +needed/);
  assert.match(text, /make kvm_guest.config, or: scripts\/config .*-e VIRTIO_BLK/);
  assert.match(text, /scripts\/config .*-m KVM -e EVENTFD -m KVM_INTEL/);
  const json = JSON.parse(kernelCheck([path, '--json']).text) as { guest: { able: boolean } };
  assert.equal(json.guest.able, false);
});

test('a file that is no configuration is refused', () => {
  assert.throws(() => kernelCheck([write('nothing', 'hello')]), /no Linux configuration/);
  assert.throws(() => kernelCheck([join(directory, 'absent')]), /no such file/);
  assert.throws(() => kernelCheck([]), /give one file/);
});

test("Debian's kernels are good guests and hosts", (t) => {
  const found = existsSync('/boot')
    ? readdirSync('/boot').filter((name) => /^config-.*amd64$/.test(name))
    : [];
  if (found.length === 0) {
    t.skip('no Debian kernel configuration in /boot');
    return;
  }
  for (const name of found) assert.ok(kernelCheck([join('/boot', name)]).status <= 1);
});
