import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../../util/errors.ts';
import type { BootModule, BootRequest } from './boot.ts';
import { BOOT_COMMAND_LINE, BOOT_MODULES, BOOT_PARAMS } from './boot.ts';
import { kernelFormat, loadKernel } from './load-kernel.ts';

const RAM = 64 * 2 ** 20;
const MiB = 2 ** 20;

class FakeMemory {
  readonly lowRamEnd = RAM;
  readonly highRamBytes = 0;
  readonly map = [
    { address: 0, size: 0x9fc00, type: 1 },
    { address: 0x10_0000, size: RAM - 0x10_0000, type: 1 },
  ];
  readonly bytes = new Uint8Array(RAM).fill(0xaa);
  readonly view = new DataView(this.bytes.buffer);
  write(address: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, address);
  }
  zero(address: number, size: number): void {
    this.bytes.fill(0, address, address + size);
  }
  text(address: number): string {
    return String.fromCharCode(...this.bytes.subarray(address, this.bytes.indexOf(0, address)));
  }
}

function request(
  kernel: Uint8Array,
  more: { modules?: BootModule[]; commandLine?: string; longMode?: boolean } = {},
): BootRequest & { memory: FakeMemory } {
  return {
    kernel: { name: 'dir/kernel', bytes: kernel },
    modules: more.modules ?? [],
    commandLine: more.commandLine ?? '',
    memory: new FakeMemory(),
    longMode: more.longMode ?? true,
    rsdpAddress: 0xe0000,
  };
}

const initrd = (size: number): BootModule => ({
  name: 'initrd',
  args: '',
  bytes: new Uint8Array(size).fill(0x55),
});

function rejects(run: () => unknown, pattern: RegExp): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof UserError, String(error));
    assert.match(error.message, pattern);
    assert.ok(!error.message.includes('\n'));
    return true;
  });
}

function bzImage(
  change: (view: DataView, bytes: Uint8Array) => void = () => {},
  codeBytes = 0x1000,
): Uint8Array {
  const bytes = new Uint8Array(3 * 512 + codeBytes);
  const view = new DataView(bytes.buffer);
  bytes[0x1f1] = 2; // two setup sectors behind the boot sector
  view.setUint32(0x1f4, codeBytes / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  bytes.set([0xeb, 0x66], 0x200); // header ends at 0x268
  bytes.set(Buffer.from('HdrS'), 0x202);
  view.setUint16(0x206, 0x20f, true);
  bytes[0x211] = 1;
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint32(0x230, 0x20_0000, true);
  bytes[0x234] = 1;
  view.setUint16(0x236, 1, true);
  view.setUint32(0x238, 2047, true);
  view.setBigUint64(0x258, 0x100_0000n, true);
  view.setUint32(0x260, 0x20_0000, true);
  bytes.fill(0x90, 3 * 512);
  change(view, bytes);
  return bytes;
}

test('bzImage: 64-bit entry, boot_params, command line, RAM disk', () => {
  const r = request(bzImage(), { modules: [initrd(5000)], commandLine: 'console=ttyS0' });
  const state = loadKernel(r);
  assert.equal(state.mode, 'long64');
  assert.equal(state.rip, 0x100_0200);
  assert.equal(state.registers.rsi, BOOT_PARAMS);
  const { view, bytes } = r.memory;
  assert.equal(bytes[0x100_0000], 0x90);
  assert.equal(view.getUint32(BOOT_PARAMS + 0x202, true), 0x53726448);
  assert.equal(bytes[BOOT_PARAMS + 0x210], 0xff);
  assert.equal(view.getUint32(BOOT_PARAMS + 0x214, true), 0x100_0000);
  assert.equal(view.getUint32(BOOT_PARAMS + 0x228, true), BOOT_COMMAND_LINE);
  assert.equal(r.memory.text(BOOT_COMMAND_LINE), 'console=ttyS0');
  const at = view.getUint32(BOOT_PARAMS + 0x218, true);
  assert.equal(at, RAM - 8192);
  assert.equal(view.getUint32(BOOT_PARAMS + 0x21c, true), 5000);
  assert.deepEqual([bytes[at], bytes[at + 4999]], [0x55, 0x55]);
  assert.equal(bytes[BOOT_PARAMS + 0x1e8], 2);
  assert.equal(view.getBigUint64(BOOT_PARAMS + 0x2d0 + 20, true), 0x10_0000n);
  assert.equal(view.getBigUint64(BOOT_PARAMS + 0x70, true), 0xe0000n);
  // the walk PML4 → PDPT → PD of address 3 GiB + 2 MiB
  const follow = (table: number, index: number): number => Number(view.getBigUint64(table + 8 * index, true));
  const pdpt = follow(state.cr3, 0) & ~0xfff;
  const pd = follow(pdpt, 3) & ~0xfff;
  assert.equal(follow(pd, 1), 0xc020_0083);
});

test('bzImage: 32-bit entry without long mode or without a 64-bit entry', () => {
  assert.deepEqual(
    [loadKernel(request(bzImage(), { longMode: false }))].map((s) => [s.mode, s.rip, s.cr3]),
    [['protected32', 0x100_0000, 0]],
  );
  const only32 = bzImage((view) => view.setUint16(0x236, 0, true));
  assert.equal(loadKernel(request(only32)).mode, 'protected32');
});

test('bzImage: load address', () => {
  const high = bzImage((view) => view.setBigUint64(0x258, 0xffff_ffff_ffff_0000n, true));
  assert.equal(loadKernel(request(high)).rip, 0x20_0200);
  const fixed = bzImage((view, bytes) => {
    bytes[0x234] = 0;
    view.setBigUint64(0x258, 0x10_0000n, true);
  });
  assert.equal(loadKernel(request(fixed)).rip, 0x10_0200);
  const huge = bzImage((view) => view.setUint32(0x260, 0xffff_ffff, true));
  rejects(() => loadKernel(request(huge)), /-kernel dir\/kernel: needs about \d+ MiB of RAM/);
  const crooked = bzImage((view) => view.setUint32(0x230, 0x30_0000, true));
  rejects(() => loadKernel(request(crooked)), /kernel_alignment/);
});

test('bzImage: truncated and hostile files', () => {
  const good = bzImage();
  for (const length of [0, 1, 0x206, 0x250, 0x268, 3 * 512, good.length - 100]) {
    rejects(() => loadKernel(request(good.slice(0, length))), /^-kernel dir\/kernel: /);
  }
  rejects(
    () => loadKernel(request(bzImage((v) => v.setUint16(0x206, 0x200, true)))),
    /boot protocol 2.0 is too old/,
  );
  rejects(() => loadKernel(request(bzImage((_, b) => (b[0x211] = 0)))), /zImage/);
  rejects(() => loadKernel(request(bzImage((v) => v.setUint16(0x1fe, 0, true)))), /boot signature/);
  rejects(() => loadKernel(request(bzImage((v) => v.setUint32(0x1f4, 0xffff_ffff, true)))), /truncated/);
  rejects(
    () => loadKernel(request(good, { commandLine: 'x'.repeat(2048) })),
    /-append: 2048 bytes.*takes 2047/,
  );
  rejects(() => loadKernel(request(good, { modules: [initrd(RAM)] })), /-initrd initrd: 64.0 MiB do not fit/);
  rejects(() => loadKernel(request(good, { modules: [initrd(1), initrd(1)] })), /several modules/);
  const low = bzImage((v) => v.setUint32(0x22c, 0x100_0000, true));
  rejects(() => loadKernel(request(low, { modules: [initrd(1)] })), /do not fit/);
  loadKernel(request(good, { modules: [initrd(0)] }));
  loadKernel(request(bzImage((_, b) => (b[0x201] = 0xff))));
  loadKernel(request(bzImage((_, b) => (b[0x201] = 0))));
});

interface ElfSegment {
  type?: number;
  virtual?: number;
  physical: number;
  bytes: Uint8Array;
  memory?: number;
}

function elf64(segments: ElfSegment[], entry = 0x100_0000): Uint8Array {
  const dataAt = 64 + 56 * segments.length;
  const bytes = new Uint8Array(dataAt + segments.reduce((n, s) => n + s.bytes.length, 0));
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(24, BigInt(entry), true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, segments.length, true);
  let at = dataAt;
  segments.forEach((s, i) => {
    const h = 64 + 56 * i;
    view.setUint32(h, s.type ?? 1, true);
    view.setBigUint64(h + 8, BigInt(at), true);
    view.setBigUint64(h + 16, BigInt(s.virtual ?? s.physical), true);
    view.setBigUint64(h + 24, BigInt(s.physical), true);
    view.setBigUint64(h + 32, BigInt(s.bytes.length), true);
    view.setBigUint64(h + 40, BigInt(s.memory ?? s.bytes.length), true);
    bytes.set(s.bytes, at);
    at += s.bytes.length;
  });
  return bytes;
}

function xenNote(entry: number): Uint8Array {
  const note = new DataView(new ArrayBuffer(20));
  note.setUint32(0, 4, true);
  note.setUint32(4, 4, true);
  note.setUint32(8, 18, true);
  note.setUint32(12, 0x006e6558, true);
  note.setUint32(16, entry, true);
  return new Uint8Array(note.buffer);
}

const code = (size: number): Uint8Array => new Uint8Array(size).fill(0x90);

test('PVH: entry, start info, zeroed bss, RAM disk', () => {
  const kernel = elf64([
    { physical: 0x100_0000, bytes: code(100), memory: 0x3000 },
    { type: 4, physical: 0, bytes: xenNote(0x100_0010) },
  ]);
  const r = request(kernel, { modules: [initrd(100)], commandLine: 'quiet' });
  const state = loadKernel(r);
  const { view, bytes } = r.memory;
  assert.deepEqual([state.mode, state.rip, state.registers.rbx], ['protected32', 0x100_0010, BOOT_PARAMS]);
  assert.equal(view.getUint32(BOOT_PARAMS, true), 0x336ec578);
  assert.equal(view.getUint32(BOOT_PARAMS + 12, true), 1);
  assert.equal(view.getBigUint64(BOOT_MODULES + 8, true), 100n);
  assert.equal(bytes[Number(view.getBigUint64(BOOT_MODULES, true))], 0x55);
  assert.equal(r.memory.text(Number(view.getBigUint64(BOOT_PARAMS + 24, true))), 'quiet');
  assert.equal(view.getBigUint64(BOOT_PARAMS + 32, true), 0xe0000n);
  assert.equal(view.getUint32(BOOT_PARAMS + 48, true), 2);
  assert.equal(bytes[0x100_0063], 0x90);
  assert.equal(bytes[0x100_0064], 0);
  assert.equal(bytes[0x100_2fff], 0);
  assert.equal(bytes[0x100_3000], 0xaa);
});

test('ELF: what cannot be loaded', () => {
  const note: ElfSegment = { type: 4, physical: 0, bytes: xenNote(0x100_0000) };
  const load = (physical: number, size = 16, memory = size): Uint8Array =>
    elf64([{ physical, bytes: code(size), memory }, note]);
  rejects(
    () => loadKernel(request(elf64([{ physical: 0x100_0000, bytes: code(1) }]))),
    /without a PVH entry/,
  );
  rejects(() => loadKernel(request(load(0x1000))), /overlaps the loader/);
  rejects(() => loadKernel(request(load(0x9fff0, 32))), /outside RAM/);
  rejects(() => loadKernel(request(load(RAM - 8))), /outside RAM/);
  rejects(() => loadKernel(request(load(2 ** 52))), /outside RAM/);
  rejects(() => loadKernel(request(load(0x100_0000, 16, 8))), /larger in the file/);
  rejects(() => loadKernel(request(load(0x100_0000, 16, 2 ** 60))), /outside RAM/);
  const twice = elf64([
    { physical: 0x100_0000, bytes: code(32) },
    { physical: 0x100_0010, bytes: code(1) },
    note,
  ]);
  rejects(() => loadKernel(request(twice)), /overlaps another/);
  const good = load(0x100_0000, 4096);
  for (const length of [19, 20, 40, 63, 64, 100, 200, good.length - 21, good.length - 1]) {
    rejects(() => loadKernel(request(good.slice(0, length))), /^-kernel dir\/kernel: /);
  }
  const patched = (change: (view: DataView) => void): Uint8Array => {
    const copy = good.slice();
    change(new DataView(copy.buffer));
    return copy;
  };
  rejects(() => loadKernel(request(patched((v) => v.setUint16(18, 183, true)))), /machine 183/);
  rejects(() => loadKernel(request(patched((v) => v.setUint16(56, 65535, true)))), /program headers/);
  rejects(() => loadKernel(request(patched((v) => v.setBigUint64(32, 2n ** 63n, true)))), /truncated/);
  rejects(() => loadKernel(request(patched((v) => v.setBigUint64(64 + 8, 2n ** 63n, true)))), /truncated/);
});

function multiboot(flags: number, addresses: number[] = [], size = 0x1000): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(16, 0x1badb002, true);
  view.setUint32(20, flags, true);
  view.setUint32(24, -(0x1badb002 + flags) >>> 0, true);
  addresses.forEach((a, i) => view.setUint32(28 + 4 * i, a, true));
  return bytes;
}

test('multiboot with addresses: information, modules, strings', () => {
  const kernel = multiboot(0x10003, [0x10_0010, 0x10_0000, 0, 0x10_4000, 0x10_0040]);
  const modules = [
    { name: 'a', args: 'x=1', bytes: code(10) },
    { name: 'b', args: '', bytes: code(5000) },
  ];
  const r = request(kernel, { modules, commandLine: 'hello' });
  const state = loadKernel(r);
  const { view } = r.memory;
  assert.deepEqual(
    [state.rip, state.registers.rax, state.registers.rbx],
    [0x10_0040, 0x2badb002, BOOT_PARAMS],
  );
  assert.equal(view.getUint32(0x10_0010, true), 0x1badb002);
  assert.equal(r.memory.text(view.getUint32(BOOT_PARAMS + 16, true)), 'kernel hello');
  assert.equal(view.getUint32(BOOT_PARAMS + 20, true), 2);
  const list = view.getUint32(BOOT_PARAMS + 24, true);
  assert.deepEqual([view.getUint32(list, true), view.getUint32(list + 4, true)], [0x10_4000, 0x10_400a]);
  assert.equal(r.memory.text(view.getUint32(list + 8, true)), 'a x=1');
  assert.equal(view.getUint32(list + 16, true), 0x10_5000);
  assert.equal(r.memory.text(view.getUint32(list + 24, true)), 'b');
  assert.equal(view.getUint32(BOOT_PARAMS + 8, true), (RAM - MiB) / 1024);
  assert.equal(view.getUint32(BOOT_PARAMS + 44, true), 48);
});

test('multiboot: what cannot be loaded', () => {
  rejects(() => loadKernel(request(multiboot(0x10))), /unknown multiboot requirement 0x10/);
  rejects(() => loadKernel(request(multiboot(3))), /not ELF/);
  rejects(() => loadKernel(request(multiboot(0x10000, [0x10_0000, 0x10_0010, 0, 0, 0]))), /inconsistent/);
  rejects(() => loadKernel(request(multiboot(0x10000, [0x20_0000, 0x10_0000, 0, 0, 0]))), /inconsistent/);
  rejects(
    () => loadKernel(request(multiboot(0x10000, [0x10_0010, 0x10_0000, 0x20_0000, 0, 0]))),
    /truncated/,
  );
  rejects(() => loadKernel(request(multiboot(0x10000, [0xb_0010, 0xb_0000, 0, 0, 0]))), /outside RAM/);
  rejects(
    () => loadKernel(request(multiboot(0x10000, [0x10_0010, 0x10_0000, 0, 0xffff_ffff, 0]))),
    /outside RAM/,
  );
  const good = multiboot(0x10000, [0x10_0010, 0x10_0000, 0, 0, 0]);
  rejects(() => loadKernel(request(good, { modules: [initrd(RAM)] })), /-initrd initrd/);
  rejects(() => loadKernel(request(good.slice(0, 30))), /truncated|neither/);
});

test('formats are told apart, rubbish is refused', () => {
  const named = (bytes: Uint8Array): { name: string; bytes: Uint8Array } => ({ name: 'k', bytes });
  assert.equal(kernelFormat(named(bzImage())), 'linux');
  assert.equal(kernelFormat(named(multiboot(0))), 'multiboot');
  assert.equal(kernelFormat(named(elf64([]))), 'elf');
  rejects(() => kernelFormat(named(new Uint8Array(0))), /empty/);
  rejects(() => kernelFormat(named(new Uint8Array(100))), /neither a Linux bzImage/);
});
