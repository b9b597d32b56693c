import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../util/errors.ts';
import { parseCommandLine, type RunPlan } from './command-line.ts';
import { parseSize } from './sizes.ts';

function plan(...args: string[]): RunPlan {
  const commandLine = parseCommandLine(['-kernel', 'k', ...args], 'x86_64');
  assert.equal(commandLine.kind, 'run');
  return (commandLine as { plan: RunPlan }).plan;
}

function printed(...args: string[]): string {
  const commandLine = parseCommandLine(args, 'x86_64');
  assert.equal(commandLine.kind, 'print');
  return (commandLine as { text: string }).text;
}

const kinds = (requests: RunPlan['serial']): string[] =>
  requests.map((r) => (r.mux ? 'mon:' : '') + r.spec.kind);

test('the command line of the issue, one dash or two', () => {
  for (const dash of ['-', '--']) {
    const args = ['m', '512', 'nographic', '', 'initrd', 'i.gz', 'append', 'console=ttyS0 -x'];
    const line = args.flatMap((word, i) => (word === '' ? [] : [i % 2 === 0 ? dash + word : word]));
    const p = plan(...line);
    assert.equal(p.config.memoryBytes, 512 * 2 ** 20);
    assert.equal(p.config.commandLine, 'console=ttyS0 -x');
    assert.deepEqual([p.kernel, p.initrd], ['k', 'i.gz']);
    assert.deepEqual(kinds(p.serial), ['mon:stdio']);
    assert.deepEqual(p.warnings, []);
  }
});

test('defaults of serial port and monitor follow QEMU', () => {
  const show = (...args: string[]): string[][] => {
    const p = plan(...args);
    return [kinds(p.serial), kinds(p.monitors)];
  };
  assert.deepEqual(show('-nographic'), [['mon:stdio'], []]);
  assert.deepEqual(show('-nographic', '-monitor', 'none'), [['stdio'], ['none']]);
  assert.deepEqual(show('-nographic', '-serial', 'null'), [['null'], ['stdio']]);
  assert.deepEqual(show('-nographic', '-serial', 'stdio'), [['stdio'], []]);
  assert.deepEqual(show('-nographic', '-nodefaults'), [[], []]);
  assert.deepEqual(show('-display', 'none', '-serial', 'mon:stdio'), [['mon:stdio'], []]);
  assert.deepEqual(show('-display', 'none'), [['null'], []]);
  assert.deepEqual(show('-display', 'none', '-nodefaults', '-serial', 'none', '-serial', 'pty'), [
    ['none', 'pty'],
    [],
  ]);
  assert.equal(plan().warnings.length, 1);
});

test('machine, accelerator, processor, clock, log, flags', () => {
  const c = plan(
    ...[
      '-M',
      'pc-i440fx-7.2,accel=tcg,hpet=off',
      '-accel',
      'tcg,tier=interp,thread=single',
      '-cpu',
      'Nehalem,-popcnt',
    ],
    ...[
      '-rtc',
      'base=2020-02-03T04:05:06,clock=vm',
      '-d',
      'in_asm,int',
      '-D',
      'log',
      '-name',
      'guest=g,debug-threads=on',
    ],
    ...[
      '-no-reboot',
      '-no-shutdown',
      '-S',
      '-smp',
      'cpus=1,cores=1',
      '-display',
      'none',
      '-vga',
      'none',
      '-net',
      'none',
    ],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04', '-global', 'isa-debugcon.iobase=0x402'],
    ...['-chardev', 'file,id=log,path=x', '-device', 'isa-debugcon,chardev=log'],
  );
  const { config } = c;
  assert.deepEqual(config.accelerators, [{ kind: 'tcg', tier: 'interp' }]);
  assert.equal(config.hpet, false);
  assert.equal(config.cpu, 'Nehalem,-popcnt');
  assert.deepEqual(config.rtc, { startMs: Date.UTC(2020, 1, 3, 4, 5, 6), offsetMs: 0, clock: 'vm' });
  assert.deepEqual(config.logItems, ['in_asm', 'int']);
  assert.deepEqual([config.name, c.logFile], ['g', 'log']);
  assert.deepEqual([config.noReboot, config.noShutdown, config.startPaused], [true, true, true]);
  assert.deepEqual(config.debugExit, { iobase: 0xf4, iosize: 4 });
  assert.deepEqual(config.debugCon, { iobase: 0x402, readback: 0xe9 });
  assert.deepEqual(plan('-device', 'isa-debug-exit').config.debugExit, { iobase: 0x501, iosize: 2 });
  assert.equal(plan('-no-acpi').config.acpi, false);
  const i386 = parseCommandLine(['-kernel', 'k'], 'i386') as { plan: RunPlan };
  assert.deepEqual([i386.plan.config.cpu, i386.plan.config.longMode], ['qemu32', false]);
});

test('lists', () => {
  assert.match(
    printed('-cpu', 'help'),
    /Haswell-noTSX [\s\S]*Nehalem[\s\S]*qemu64[\s\S]*Recognized CPUID flags:[\s\S]* adx/,
  );
  assert.match(printed('-M', 'help'), /^Supported machines/);
  assert.match(printed('-device', 'help'), /isa-debug-exit/);
  assert.match(printed('-d', 'help'), /in_asm/);
  assert.match(printed('-accel', 'help'), /tcg/);
  assert.match(printed('-chardev', 'help'), /socket/);
  assert.match(printed('--help'), /-nographic/);
  assert.match(printed('-version'), /^Lyrebird version \d/);
});

test('mistakes name the option, in one line', () => {
  const cases: Array<[string[], RegExp]> = [
    [['-foo'], /^-foo: unknown option/],
    [['--foo'], /^--foo: unknown option/],
    [['--'], /^unexpected argument "--"/],
    [['-m'], /^-m: a value is missing/],
    [['-m', '0'], /^-m 0: at least 1 MiB/],
    [['-m', '-5'], /^-m -5: /],
    [['-m', '5000'], /^-m 5000: at most 3968 MiB/],
    [['-m', '1e9'], /^-m 1e9: /],
    [['-m', '512,slots=2'], /^-m 512,slots=2: memory hot-plug/],
    [['-m', '512,foo=1'], /unknown option "foo"/],
    [['-smp', '300'], /^-smp 300: /],
    [['-smp', '4,sockets=3'], /^-smp 4,sockets=3: /],
    [['-smp', '2,maxcpus=4'], /^-smp 2,maxcpus=4: /],
    [['-smp', '0'], /^-smp 0: /],
    [['-cpu', 'z80'], /^-cpu z80: /],
    [['-cpu', 'qemu64,+frob'], /^-cpu qemu64,\+frob: .*frob/],
    [['-M', 'isapc'], /^-machine isapc: unknown machine/],
    [['-M', 'pc,frob=on'], /unknown option "frob"/],
    [['-accel', 'xen'], /^-accel xen: unknown accelerator "xen"/],
    [['-M', 'kernel-irqchip=maybe'], /kernel-irqchip is on, split or off/],
    [['-accel', 'tcg,tier=fast'], /"tier=fast" is not one of auto, interp, jit/],
    [['-serial', 'frob'], /^-serial frob: /],
    [['-display', 'gtk'], /^-display gtk: /],
    [['-d', 'frob'], /^-d frob: unknown item/],
    [['-rtc', 'base=yesterday'], /^-rtc base=yesterday: /],
    [['-rtc', 'base=2020-99-99'], /neither utc/],
    [['-device', 'frob'], /^-device frob: 'frob' is not a valid device/],
    [['-device', 'isa-debug-exit,frob=1'], /Property 'isa-debug-exit.frob' not found/],
    [['-device', 'isa-debug-exit,iobase=0x10000'], /outside the I\/O space/],
    [['-device', 'isa-debugcon'], /"chardev=" is missing/],
    [['-global', 'frob.x=1'], /^-global frob.x=1: no property/],
    [['-global', 'frob'], /^-global frob: not DRIVER/],
    [['-chardev', 'null,id=a', '-chardev', 'null,id=a'], /^-chardev id=a: the id is taken/],
    [['-vga', 'cirrus'], /^-vga cirrus: only std and none/],
  ];
  for (const [args, pattern] of cases) {
    assert.throws(
      () => plan(...args),
      (error: Error) => {
        assert.ok(error instanceof UserError, `${args.join(' ')}: ${error.stack}`);
        assert.match(error.message, pattern);
        assert.ok(!error.message.includes('\n'));
        return true;
      },
    );
  }
  const bare = (...args: string[]) => parseCommandLine(args, 'x86_64');
  assert.throws(() => bare('-boot', 'order=z'), /^UserError: -boot order=z: "order=z": letters a to p/);
  assert.throws(() => bare('-boot', 'colour=red'), /unknown option "colour"/);
  assert.throws(() => bare('-append', 'x'), /-append: only allowed with -kernel/);
  assert.throws(() => bare('-initrd', 'x'), /-initrd: only allowed with -kernel/);
});

test('sizes', () => {
  assert.equal(parseSize('512', '-m'), 512 * 2 ** 20);
  assert.equal(parseSize('1.5G', '-m'), 1.5 * 2 ** 30);
  assert.equal(parseSize('64k', '-m'), 65536);
  assert.equal(parseSize('4096b', '-m'), 4096);
  for (const text of ['', 'x', '1Q', '0x10', '1.2.3', '99999999999T'])
    assert.throws(() => parseSize(text, '-m'), UserError);
});

test('accelerators are tried in the order given', () => {
  const accelerators = (...args: string[]): unknown => {
    const commandLine = parseCommandLine(['-kernel', 'k', '-nographic', ...args], 'x86_64');
    return commandLine.kind === 'run' ? commandLine.plan.config.accelerators : undefined;
  };
  const kvm = { kind: 'kvm', irqchip: 'on' };
  const tcg = { kind: 'tcg', tier: 'auto' };
  assert.deepEqual(accelerators(), [tcg]);
  assert.deepEqual(accelerators('-enable-kvm'), [kvm]);
  assert.deepEqual(accelerators('-accel', 'kvm:tcg'), [kvm, tcg]);
  assert.deepEqual(accelerators('-accel', 'qtest'), [{ kind: 'qtest' }]);
  assert.deepEqual(accelerators('-accel', 'kvm', '-accel', 'tcg,tier=jit'), [
    kvm,
    { kind: 'tcg', tier: 'jit' },
  ]);
  assert.deepEqual(accelerators('-machine', 'pc,accel=kvm:tcg'), [kvm, tcg]);
  assert.deepEqual(accelerators('-accel', 'kvm,kernel-irqchip=split'), [{ kind: 'kvm', irqchip: 'split' }]);
  assert.deepEqual(accelerators('-enable-kvm', '-M', 'kernel-irqchip=off'), [
    { kind: 'kvm', irqchip: 'off' },
  ]);
});
