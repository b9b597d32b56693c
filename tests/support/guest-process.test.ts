import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestProcess, GuestTimeout } from './guest-process.ts';

const shell = (script: string): GuestProcess => new GuestProcess(['/bin/sh', '-c', script]);

test('each match starts where the previous one ended', async () => {
  const guest = shell('echo one; read line; echo "$line two"; exit 3');
  await guest.expect('one', 5000);
  guest.send('and\n');
  const match = await guest.expect(/(\w+) two/, 5000);
  assert.equal(match.groups[1], 'and');
  assert.equal(await guest.exited(5000), 3);
});

test('the end of the process and the time-out say what the guest printed last', async () => {
  const gone = shell('echo last words');
  await assert.rejects(gone.expect('never', 5000), (error) => {
    return (
      error instanceof GuestTimeout && /status 0/.test(error.message) && /last words/.test(error.message)
    );
  });
  const silent = shell('sleep 60');
  try {
    await assert.rejects(silent.expect('never', 50), /not within/);
  } finally {
    await silent.close();
  }
});

test('a program that does not exist ends with status 127', async () => {
  const guest = new GuestProcess(['/nonexistent/emulator']);
  assert.equal(await guest.exited(5000), 127);
  assert.match(guest.errors, /ENOENT/);
});
