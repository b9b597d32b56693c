// Firmware of the host's packages, and what it starts: boot sectors, GRUB, memtest86+, an installed system.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { DISK_PROMPT, diskToolsMissing, makeDisk } from '../support/disk-image.ts';
import { emulatorCommand, root } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ensureGuests, guestFile, haveProgram, PROMPT } from '../support/guests.ts';

const MINUTE = 60_000;
const noSeaBios = existsSync('/usr/share/seabios/bios-256k.bin')
  ? false
  : 'the package seabios is not installed';
const work = mkdtempSync(join(tmpdir(), 'lyrebird-firmware-'));
after(() => rmSync(work, { recursive: true, force: true }));

const COMMON = ['-display', 'none', '-no-reboot', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4'];

function start(...args: readonly string[]): GuestProcess {
  return new GuestProcess([...emulatorCommand(), ...COMMON, ...args]);
}

interface Assembler {
  assemble(source: string, options: { bits: 16; origin: number }): Uint8Array;
}

/** Writes an image of `sizeBytes` whose first sector is `source`, assembled. */
async function bootImage(name: string, source: string, sizeBytes: number): Promise<string> {
  const url = pathToFileURL(join(root, 'dist/testing/asm/x86.js')).href;
  const { assemble } = (await import(url)) as Assembler;
  const code = assemble(source, { bits: 16, origin: 0x7c00 });
  assert.ok(code.length <= 446, `${code.length} bytes of boot code`);
  const path = join(work, name);
  const sector = Buffer.alloc(512);
  sector.set(code);
  sector.writeUInt16LE(0xaa55, 510);
  writeFileSync(path, sector);
  truncateSync(path, sizeBytes);
  return path;
}

/** Asks INT 13h for the geometry and reads the last sector that it can address; reports on COM1 and exits. */
const GEOMETRY_PROBE = `
  xor ax, ax
  mov ds, ax
  mov ss, ax
  mov sp, 0x7000
  mov [0x600], dl
  mov ah, 8
  xor di, di
  mov es, di
  int 0x13
  jc failed
  mov [0x602], cx
  mov [0x604], dx
  mov al, ch
  call hex
  mov al, cl
  call hex
  mov al, dh
  call hex
  xor ax, ax
  mov es, ax
  mov bx, 0x1000
  mov cx, [0x602]
  mov dh, [0x605]
  mov dl, [0x600]
  mov ax, 0x0201
  int 0x13
  jc failed
  mov al, [0x1000]
  call hex
  mov al, [0x11ff]
  call hex
  mov dx, 0xf4
  mov al, 0x10
  out dx, al
failed:
  mov al, ah
  call hex
  mov dx, 0xf4
  mov al, 0x20
  out dx, al
  hlt
hex:
  push ax
  shr al, 4
  call digit
  pop ax
digit:
  and al, 15
  add al, 0x30
  cmp al, 0x3a
  jb put
  add al, 7
put:
  push dx
  mov dx, 0x3f8
  out dx, al
  pop dx
  ret
`;

/** [name, option, bytes, expected CH, CL, DH of INT 13h function 8] */
const GEOMETRIES = [
  ['fd360', 'floppy', 360 * 1024, '270901'],
  ['fd720', 'floppy', 720 * 1024, '4F0901'],
  ['fd1200', 'floppy', 1200 * 1024, '4F0F01'],
  ['fd1440', 'floppy', 1440 * 1024, '4F1201'],
  ['fd2880', 'floppy', 2880 * 1024, '4F2401'],
] as const;

for (const [name, kind, size, expected] of GEOMETRIES) {
  test(`SeaBIOS boots a floppy of ${size / 1024} KiB and reads its last sector`, {
    skip: noSeaBios,
  }, async () => {
    const path = await bootImage(name, GEOMETRY_PROBE, size);
    const image = readFileSync(path);
    image[size - 512] = 0x5a;
    image[size - 1] = 0xc3;
    writeFileSync(path, image);
    const guest = start('-drive', `file=${path},format=raw,if=${kind}`, '-serial', 'stdio');
    try {
      assert.equal(await guest.exited(2 * MINUTE), 33, guest.output + guest.errors);
      assert.match(guest.output, new RegExp(`${expected}5AC3`));
    } finally {
      await guest.close();
    }
  });
}

test('SeaBIOS boots hard disks of several sizes, and INT 13h reads back what the image holds', {
  skip: noSeaBios,
}, async () => {
  for (const sizeMiB of [8, 64, 600]) {
    const path = await bootImage(`hd${sizeMiB}`, GEOMETRY_PROBE, sizeMiB * 2 ** 20);
    const guest = start('-drive', `file=${path},format=raw`, '-serial', 'stdio');
    try {
      assert.equal(await guest.exited(2 * MINUTE), 33, guest.output + guest.errors);
      assert.match(guest.output, /[0-9A-F]{6}0000/);
    } finally {
      await guest.close();
    }
  }
});

test('a kernel through firmware and its option ROM reaches a shell', { skip: noSeaBios }, async (t) => {
  const missing = ensureGuests('cloud', 'busybox');
  if (missing !== undefined) return t.skip(missing);
  const files = ['-kernel', guestFile('cloud', 'vmlinuz'), '-initrd', guestFile('busybox', 'initrd.gz')];
  const guest = start(
    '-m',
    '256',
    '-bios',
    'bios-256k.bin',
    ...files,
    '-append',
    'console=ttyS0',
    '-serial',
    'stdio',
  );
  try {
    await guest.expect(PROMPT, 5 * MINUTE);
  } finally {
    await guest.close();
  }
});

const noRescue =
  noSeaBios || (haveProgram('grub-mkrescue') && haveProgram('xorriso') ? false : 'no grub-mkrescue');

test('a GRUB rescue CD reaches its prompt', { skip: noRescue }, async () => {
  const tree = join(work, 'iso');
  mkdirSync(join(tree, 'boot/grub'), { recursive: true });
  const config = 'serial --unit=0 --speed=115200\nterminal_input serial\nterminal_output serial\n';
  writeFileSync(join(tree, 'boot/grub/grub.cfg'), config);
  const iso = join(work, 'grub.iso');
  const made = spawnSync('grub-mkrescue', ['-o', iso, tree], { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  const guest = start('-cdrom', iso, '-serial', 'stdio');
  try {
    await guest.expect('grub>', 3 * MINUTE);
    guest.send('ls\r');
    await guest.expect('(cd)', MINUTE);
  } finally {
    await guest.close();
  }
});

test('an installed system boots from an IDE disk: SeaBIOS, GRUB, Linux, root on ext4', {
  skip: noSeaBios,
}, async (t) => {
  const missing = diskToolsMissing() ?? ensureGuests('amd64', 'busybox');
  if (missing !== undefined) return t.skip(missing);
  const disk = await makeDisk();
  const guest = start('-m', '256', '-drive', `file=${disk.path},format=raw`, '-serial', 'stdio');
  try {
    await guest.expect('GRUB on the disk', 3 * MINUTE);
    await guest.expect('root on /dev/sda1', 8 * MINUTE);
    await guest.expect(DISK_PROMPT, MINUTE);
    guest.send(
      'echo written > /file; sync; cat /file; dd if=/dev/sda of=/dev/null bs=1M count=32 && echo $((6*7))\n',
    );
    await guest.expect('42', 2 * MINUTE);
    guest.send('exit\n');
    assert.equal(await guest.exited(MINUTE), 0);
  } finally {
    await guest.close();
    disk.remove();
  }
});

const MEMTEST = '/boot/memtest86+x64.bin';
const noMemtest = noSeaBios || (existsSync(MEMTEST) ? false : 'the package memtest86+ is not installed');

test('memtest86+ shows its screen', { skip: noMemtest }, async () => {
  const { createMachine } = (await import(pathToFileURL(join(root, 'dist/index.node.js')).href)) as {
    createMachine(options: object): Promise<{
      run(): Promise<void>;
      screenshot(): Promise<{ width: number; height: number; text?: string[] } | undefined>;
      dispose(): Promise<void>;
    }>;
  };
  const machine = await createMachine({
    memory: '64M',
    kernel: MEMTEST,
    bios: 'bios-256k.bin',
    extraArgs: ['-vga', 'std'],
  });
  try {
    await machine.run();
    for (const deadline = Date.now() + 3 * MINUTE; ; ) {
      const screen = await machine.screenshot();
      if (screen?.text?.[0]?.includes('Memtest86+')) {
        assert.deepEqual([screen.width, screen.height], [720, 400]);
        break;
      }
      assert.ok(Date.now() < deadline, screen?.text?.join('\n'));
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  } finally {
    await machine.dispose();
  }
});
