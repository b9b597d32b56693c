import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseCommandLine } from './command-line.ts';

function withConfig(text: string, use: (path: string) => void): void {
  const dir = mkdtempSync(join(tmpdir(), 'lyrebird-config-'));
  try {
    const path = join(dir, 'config');
    writeFileSync(path, text);
    use(path);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test('-readconfig: groups are options', () => {
  const text =
    '# a machine\n[memory]\n  size = "200"\n\n[device "dev0"]\n driver = "edu"\n[object "r"]\nqom-type = "rng-builtin"\n';
  withConfig(text, (path) => {
    const line = parseCommandLine(['-readconfig', path, '-display', 'none'], 'x86_64');
    assert.ok(line.kind === 'run');
    assert.equal(line.plan.config.memoryBytes, 200 * 2 ** 20);
    assert.deepEqual(
      line.plan.config.devices.map(({ driver, id }) => [driver, id]),
      [['edu', 'dev0']],
    );
    assert.deepEqual(
      line.plan.objects.all.map(({ type }) => type),
      ['rng-builtin'],
    );
  });
});

test('-readconfig: mistakes name file and line', () => {
  const parse = (path: string) => () => parseCommandLine(['-readconfig', path], 'x86_64');
  withConfig('[memory]\nsize: 3\n', (path) => assert.throws(parse(path), /line 2: not understood/));
  withConfig('[nothing]\n', (path) => assert.throws(parse(path), /no option group 'nothing'/));
  assert.throws(parse('/nowhere/at/all'), /-readconfig \/nowhere/);
});

test('several -boot options add up; -machine none has no memory unless it is given some', () => {
  const run = (...args: string[]) => {
    const line = parseCommandLine([...args, '-display', 'none'], 'x86_64');
    assert.ok(line.kind === 'run');
    return line.plan.config;
  };
  const { boot } = run('-boot', 'once=d', '-boot', 'order=nda', '-no-fd-bootchk');
  assert.deepEqual([boot.once, boot.order, boot.checksFloppy], ['d', 'nda', false]);
  assert.equal(run('-boot', 'reboot-timeout=-1').boot.rebootTimeoutMs, -1);
  assert.deepEqual([run('-M', 'none').isEmpty, run('-M', 'none').memoryBytes], [true, 0]);
  assert.equal(run('-M', 'none', '-m', '2').memoryBytes, 2 ** 21);
});
