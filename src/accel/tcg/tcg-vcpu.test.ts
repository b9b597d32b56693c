import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { startCompileThread } from '../../host/node/compile-thread.ts';
import { expandHelpers } from '../../ir/helper-table.ts';
import { OP } from '../../ir/ops.ts';
import {
  CS,
  HF_ONE_INSN,
  LOCAL_SLOT_LIMIT,
  RAX,
  RBX,
  RCX,
  RIP,
  SEG,
  SEG_BASE,
} from '../../runtime/x86/layout.ts';
import type { TargetDescriptor } from '../../target/target.ts';
import type { VcpuBus } from '../accelerator.ts';
import type { StartCompiler } from './compile-channel.ts';
import { TcgMemory } from './tcg-memory.ts';
import { type TcgTier, TcgVcpu } from './tcg-vcpu.ts';
import { webAssembly } from './webassembly.ts';

/**
 * A toy guest on the real runtime, in real mode: `01 n` RAX += n; `02 rel8` jump; `03` halt; `04` byte at RBX = RAX; `05` RAX =
 * byte at RBX; `06 rel8` RCX -= 1, jump if not zero; `07` RBX += 1; `08 p` out.
 */
const HALT = 3;
const helpers = expandHelpers({
  hlt: { args: 1, reads: true, faults: true, doc: '' },
  raise_ud: { args: 0, faults: true, doc: '' },
  end_of_insn: { args: 2, reads: true, faults: true, doc: '' },
  io_out: { args: 3, reads: true, faults: true, doc: '' },
});

const toy: TargetDescriptor = {
  name: 'toy',
  runtime: 'x86',
  helpers,
  localSlotLimit: LOCAL_SLOT_LIMIT,
  slotName: () => undefined,
  disassemble: () => ({ text: '?', length: 1 }),
  translateBlock(request, ir, result) {
    const { code } = request;
    const single = (request.flags & HF_ONE_INSN) !== 0;
    const fetch = (offset: number): number => {
      const at = code.start + offset;
      if (at < code.end) return code.bytes[at]!;
      result.crossesPage = true;
      return code.bytes[code.nextPage() + (at - code.end)]!;
    };
    let offset = 0;
    let ended = false;
    while (!ended) {
      const opcode = fetch(offset);
      const rip = request.ripLo + offset;
      const argument = (): number => (fetch(offset + 1) << 24) >> 24;
      ir.restore = offset;
      let length = 1;
      const leave = (target: number): void => {
        if (single) {
          const t = ir.temp();
          const f = ir.temp();
          ir.movi(t, target);
          ir.movi(f, request.flags);
          ir.call(2, undefined, t, f);
          ir.gotoInd();
        } else {
          ir.goto(target, 0);
        }
        ended = true;
      };
      switch (opcode) {
        case 1:
          length = 2;
          ir.imm(OP.add_i64_imm, RAX, RAX, argument());
          break;
        case 2:
          length = 2;
          leave(rip + 2 + argument());
          break;
        case 4:
          ir.mem(OP.st8, RAX, RBX, 0, 0);
          break;
        case 5:
          ir.mem(OP.ld8u, RAX, RBX, 0, 0);
          break;
        case 6: {
          length = 2;
          const t = ir.temp();
          ir.imm(OP.sub_i64_imm, RCX, RCX, 1);
          ir.imm(OP.ne_i64_imm, t, RCX, 0);
          ir.br(t, rip + 2 + argument(), 0, rip + 2, 0);
          ended = true;
          break;
        }
        case 7:
          ir.imm(OP.add_i64_imm, RBX, RBX, 1);
          break;
        case 8: {
          length = 2;
          const [p, s] = [ir.temp(), ir.temp()];
          ir.movi(p, argument());
          ir.movi(s, 1);
          ir.call(3, undefined, p, RAX, s);
          break;
        }
        case HALT: {
          const t = ir.temp();
          ir.movi(t, rip + 1);
          ir.call(0, undefined, t);
          ir.exit();
          ended = true;
          break;
        }
        default:
          ir.call(1);
          ir.exit();
          ended = true;
          break;
      }
      offset += length;
      result.insns++;
      if (
        !ended &&
        (result.insns >= request.maxInsns || result.crossesPage || code.start + offset >= code.end)
      ) {
        leave(request.ripLo + offset);
      }
    }
    result.sizeBytes = offset;
  },
};

const runtimeModule = new (webAssembly().Module)(
  readFileSync(new URL('../../runtime/x86.wasm', import.meta.url)),
);

class Bus implements VcpuBus {
  readonly outs: number[] = [];
  onOut: (count: number) => void = () => {};
  code: readonly number[] = [];
  vectors: number[] = [];
  readMmio(address: number): number {
    return this.code[address - 0x10_0000] ?? 0xff;
  }
  writeMmio(): void {}
  readPort(): number {
    return 0;
  }
  writePort(_port: number, _size: number, value: number): void {
    this.outs.push(value);
    this.onOut(this.outs.length);
  }
  acknowledgeInterrupt(): number {
    return this.vectors.shift() ?? -1;
  }
  readApicMsr(): undefined {
    return undefined;
  }
  writeApicMsr(): boolean {
    return false;
  }
  readTpr(): number {
    return 0;
  }
  writeTpr(): void {}
  readTsc(): number {
    return 0;
  }
}

const RAM = 0x10_0000;

function make(
  tier: TcgTier,
  program: readonly number[],
  at = 0x1000,
  startCompiler?: StartCompiler,
): { cpu: TcgVcpu; bus: Bus; ram: Uint8Array } {
  const memory = new TcgMemory(RAM);
  memory.setRamMap([{ start: 0, sizeBytes: RAM, ramOffset: 0, readOnly: false }]);
  const bus = new Bus();
  const cpu = new TcgVcpu({
    target: toy,
    memory,
    runtimeModule,
    bus,
    tier,
    ...(startCompiler && { startCompiler }),
  });
  cpu.writeSlot(SEG + CS * 0x20 + SEG_BASE, 0n);
  cpu.writeSlot(RIP, BigInt(at));
  cpu.runtime.update_hflags();
  memory.ram.set(program, at);
  return { cpu, bus, ram: memory.ram };
}

for (const tier of ['interp', 'jit', 'auto'] as const) {
  test(`${tier}: a loop runs to the halt`, () => {
    const { cpu } = make(tier, [1, 3, 6, 256 - 4, HALT]);
    cpu.writeSlot(RCX, 100_000n);
    assert.equal(cpu.run().kind, 'halted');
    assert.equal(cpu.readSlot(RAX), 300_000n);
    assert.equal(cpu.readSlot(RIP), 0x1005n);
    assert.equal(cpu.halted, true);
    assert.equal(cpu.counters.regions > 0, tier !== 'interp');
  });

  test(`${tier}: a program that rewrites the loop it runs`, () => {
    // the store overwrites the operand of the addition, in every iteration with a new value
    const { cpu } = make(tier, [1, 1, 4, 6, 256 - 5, HALT]);
    cpu.writeSlot(RBX, 0x1001n);
    cpu.writeSlot(RCX, 5n);
    assert.equal(cpu.run().kind, 'halted');
    // 1, then doubled
    assert.equal(cpu.readSlot(RAX), 16n);
    assert.ok(cpu.counters.smcRetries >= 4);
  });

  test(`${tier}: a device that rewrites code`, () => {
    const { cpu, bus, ram } = make(tier, [1, 1, 8, 0x40, 6, 256 - 6, HALT]);
    bus.onOut = (count) => {
      if (count !== 1000) return;
      ram[0x1001] = 2;
      cpu.ramWritten(0x1001, 1);
    };
    cpu.writeSlot(RCX, 1500n);
    assert.equal(cpu.run().kind, 'halted');
    assert.equal(cpu.readSlot(RAX), 2000n);
  });

  test(`${tier}: a block across two pages, rewritten in the second`, () => {
    const { cpu, ram } = make(tier, [1, 5, HALT], 0x1fff);
    assert.equal(cpu.run().kind, 'halted');
    assert.equal(cpu.readSlot(RAX), 5n);
    ram[0x2000] = 7;
    cpu.ramWritten(0x2000, 1);
    cpu.writeSlot(RIP, 0x1fffn);
    cpu.writeSlot(0x148, 0n);
    assert.equal(cpu.run().kind, 'halted');
    assert.equal(cpu.readSlot(RAX), 12n);
  });

  test(`${tier}: code outside RAM is read for every execution`, () => {
    const { cpu, bus } = make(tier, [2, 0], 0x1000);
    bus.code = [1, 4, 1, 5, HALT];
    cpu.writeSlot(SEG + CS * 0x20 + SEG_BASE, 0x10_0000n);
    cpu.writeSlot(RIP, 0n);
    cpu.runtime.update_hflags();
    assert.equal(cpu.run().kind, 'halted');
    assert.equal(cpu.readSlot(RAX), 9n);
  });

  test(`${tier}: an exit request from a device returns to the caller`, () => {
    const { cpu, bus } = make(tier, [1, 1, 8, 0x40, 2, 256 - 6]);
    bus.onOut = (count) => {
      if (count === 700) cpu.requestExit();
    };
    assert.equal(cpu.run().kind, 'interrupted');
    assert.ok(cpu.readSlot(RAX) === 700n && cpu.readSlot(RIP) === 0x1000n);
  });

  test(`${tier}: an interrupt wakes a halted CPU`, () => {
    const { cpu, bus, ram } = make(tier, [HALT, 1, 1, HALT]);
    ram.set([0x00, 0x20, 0x00, 0x00], 0x20 * 4); // vector 0x20 → 0:2000
    ram.set([1, 100, HALT], 0x2000);
    cpu.writeSlot(0x20, 0x8000n); // RSP
    cpu.rflags = 0x202n;
    assert.equal(cpu.run().kind, 'halted');
    bus.vectors = [0x20];
    cpu.setInterruptPending(true);
    assert.equal(cpu.run().kind, 'halted');
    assert.equal(cpu.readSlot(RAX), 100n);
    assert.equal(cpu.readSlot(RIP), 0x2003n);
  });
}

test('a background compiler delivers regions while the guest runs', () => {
  const { cpu, bus, ram } = make('auto', [1, 1, 8, 0x40, 6, 256 - 6, HALT], 0x1000, startCompileThread);
  let expected = 0;
  // a device rewrites the loop again and again, and empties the cache once, while its regions are being compiled
  bus.onOut = (count) => {
    expected += ram[0x1001]!;
    if (count % 5000 !== 0) return;
    ram[0x1001] = (ram[0x1001]! % 100) + 1;
    cpu.ramWritten(0x1001, 1);
    if (count === 60_000) cpu.requestExit();
  };
  cpu.writeSlot(RCX, 100_000n);
  assert.equal(cpu.run().kind, 'interrupted');
  cpu.flushTranslations();
  const patience = Date.now() + 10_000;
  for (let halted = false; !halted; ) {
    halted = cpu.run().kind === 'halted';
    if (!halted || cpu.counters.regionModules > 0 || Date.now() > patience) continue;
    // not one region in time: once more
    cpu.writeSlot(RIP, 0x1000n);
    cpu.writeSlot(RCX, 100_000n);
    cpu.writeSlot(0x148, 0n);
    halted = false;
  }
  assert.equal(cpu.readSlot(RAX), BigInt(expected));
  assert.ok(cpu.counters.regionModules > 0);
  cpu.dispose();
});

test('the block cache forgets everything when asked, and goes on', () => {
  const { cpu } = make('auto', [1, 3, 6, 256 - 4, HALT]);
  cpu.writeSlot(RCX, 5000n);
  assert.equal(cpu.run().kind, 'halted');
  cpu.flushTranslations();
  cpu.writeSlot(RIP, 0x1000n);
  cpu.writeSlot(RCX, 5000n);
  cpu.writeSlot(0x148, 0n);
  assert.equal(cpu.run().kind, 'halted');
  assert.equal(cpu.readSlot(RAX), 30_000n);
  assert.match(cpu.report(), /blocks translated +\d+/);
});
