// UEFI firmware of the host's packages in flash memory: its shell, its variables, and GRUB with Debian's kernel behind it.

import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { emulatorCommand } from '../support/emulator.ts';
import { espToolsMissing, makeEspDisk } from '../support/esp-image.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ensureGuests, PROMPT } from '../support/guests.ts';

const MINUTE = 60_000;
const CODE = '/usr/share/OVMF/OVMF_CODE_4M.fd';
const VARS = '/usr/share/OVMF/OVMF_VARS_4M.fd';
const noOvmf = existsSync(CODE) ? false : 'the package ovmf is not installed';
const work = mkdtempSync(join(tmpdir(), 'lyrebird-uefi-'));
after(() => rmSync(work, { recursive: true, force: true }));

function start(board: string, vars: string, ...more: readonly string[]): GuestProcess {
  const flash = [`unit=0,readonly=on,file=${CODE}`, `unit=1,file=${vars}`];
  return new GuestProcess([
    ...emulatorCommand(),
    ...['-M', board, '-m', '256', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
    ...flash.flatMap((unit) => ['-drive', `if=pflash,format=raw,${unit}`]),
    ...more,
  ]);
}

function ownVars(name: string): string {
  const path = join(work, name);
  copyFileSync(VARS, path);
  return path;
}

for (const board of ['pc', 'q35']) {
  test(`UEFI on ${board}: the shell, and variables in the flash file`, { skip: noOvmf }, async () => {
    const vars = ownVars(`shell-${board}`);
    const guest = start(board, vars);
    try {
      await guest.expect('Shell>', 3 * MINUTE);
      guest.send(
        'setvar lyrebird -guid 11111111-2222-3333-4444-555555555555 -bs -rt -nv =L"kept in flash"\r',
      );
      await guest.expect('Shell>', MINUTE);
      guest.send('reset -s\r');
      assert.equal(await guest.exited(MINUTE), 0);
    } finally {
      await guest.close();
    }
    assert.ok(readFileSync(vars).includes(Buffer.from('kept in flash', 'utf16le')));
  });

  test(`UEFI on ${board}: GRUB and Debian's kernel from a disk`, { skip: noOvmf }, async (t) => {
    const missing = espToolsMissing() ?? ensureGuests('cloud', 'busybox');
    if (missing !== undefined) return t.skip(missing);
    const disk = makeEspDisk();
    const guest = start(board, ownVars(`grub-${board}`), '-drive', `file=${disk.path},format=raw`);
    try {
      await guest.expect('GRUB for UEFI', 3 * MINUTE);
      await guest.expect(PROMPT, 5 * MINUTE);
      guest.send('ls /sys/firmware/efi; echo $((6*7))\n');
      assert.match((await guest.expect('42', MINUTE)).text, /runtime/);
      guest.send('poweroff -f\n');
      assert.equal(await guest.exited(MINUTE), 0);
    } finally {
      await guest.close();
      disk.remove();
    }
  });
}
