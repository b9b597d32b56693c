import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import {
  CR0,
  CR3,
  CR4,
  CS,
  DR7,
  EFER,
  EFLAGS,
  EXIT_REASON,
  FEATURES,
  FS,
  HALTED,
  INTERRUPT_INIT,
  INTERRUPT_NMI,
  INTERRUPT_PENDING,
  INTERRUPT_SMI,
  KEY,
  LDTR,
  NMI_BLOCKED,
  RAX,
  RIP,
  RSP,
  SEG,
  SEG_STRIDE,
  SHADOW,
  SMBASE,
  SMM,
  TR,
  X86_FEATURE_LM,
} from './layout.ts';
import { Testbed } from './testbed.cases.ts';

const AREA = 0x3_0000 + 0x8000;
const SHUTDOWN = 6n;

let bed: Testbed;
beforeEach(() => {
  bed = new Testbed();
  bed.set(FEATURES, -1n);
});

/** The registers and segments, the lazy flags aside. */
function state(): bigint[] {
  const slots = [CR0, CR3, CR4, EFER, DR7, EFLAGS, RIP, KEY];
  for (let n = 0; n < 16; n++) slots.push(RAX + 8 * n);
  for (let at = SEG; at < SEG + 8 * SEG_STRIDE + 0x20; at += 8) slots.push(at);
  return slots.map((slot) => bed.get(slot));
}

function fillRegisters(): void {
  for (let n = 0; n < 16; n++) bed.set(RAX + 8 * n, 0x0123_4567_89ab_cdefn * BigInt(n + 3));
  bed.setSegment(FS, 0x2b, 0x1234_5000, 0xfffff, 0xc0f3);
  bed.setSegment(LDTR, 0, 0, 0, 0x1_0000);
  bed.setSegment(TR, 0x40, 0x7000, 0x67, 0x8b);
  bed.set(RIP, 0x1234);
}

const window = (): number => Number(bed.call('interrupt_window'));

describe('system management mode', () => {
  const MODES: ReadonlyArray<[string, () => void]> = [
    ['real mode', () => bed.mode({ cr0: 0x10 })],
    ['protected mode', () => bed.protectedMode(3)],
    ['64-bit mode', () => bed.longMode(0x1000, 3)],
  ];
  for (const [name, enter] of MODES) {
    it(`comes back to ${name} with everything as it was`, () => {
      enter();
      fillRegisters();
      bed.call('set_rflags', 0x0c_3a97n);
      bed.call('update_hflags');
      const [before, flags] = [state(), bed.call('get_rflags')];
      bed.call('deliver_smi');
      assert.equal(bed.get(RIP), 0x8000n);
      assert.equal(bed.base(CS), 0x3_0000);
      assert.equal(bed.selector(CS), 0x3000);
      assert.equal(bed.get(CR0) & 0x8000_000dn, 0n);
      assert.equal(bed.get(CR4), 0n);
      assert.equal(bed.get(EFER), 0n);
      assert.equal(bed.call('get_rflags'), 2n);
      assert.equal(bed.p32(AREA + 0x7efc), 0x20064);
      bed.call('rsm');
      assert.equal(bed.fault(), '');
      assert.deepEqual(state(), before);
      assert.equal(bed.call('get_rflags'), flags);
      assert.ok(bed.calls.some(([call]) => call === 'leave_smm'));
    });
  }

  it('uses the 32-bit layout without long mode', () => {
    bed.set(FEATURES, bed.get(FEATURES) & ~BigInt(X86_FEATURE_LM));
    bed.protectedMode();
    fillRegisters();
    for (let n = 0; n < 16; n++) bed.set(RAX + 8 * n, n < 8 ? 0x1111_1111 * n : 0);
    bed.call('update_hflags');
    const before = state();
    bed.call('deliver_smi');
    assert.equal(bed.p32(AREA + 0x7efc), 0x20000);
    assert.equal(bed.p32(AREA + 0x7ef8), 0x3_0000);
    assert.equal(bed.p32(AREA + 0x7fe0), 0x1111_1111 * 4, 'ESP');
    bed.call('rsm');
    assert.equal(bed.fault(), '');
    assert.deepEqual(state(), before);
  });

  it('saves where AMD64 APM Vol. 2 table 10-1 says', () => {
    bed.longMode(0x1000);
    fillRegisters();
    bed.call('deliver_smi');
    assert.equal(bed.p64(AREA + 0x7ff8), 0x0123_4567_89ab_cdefn * 3n, 'RAX');
    assert.equal(bed.p64(AREA + 0x7f78), 0x1234n, 'RIP');
    assert.equal(bed.p64(AREA + 0x7f58), 0x8001_0033n, 'CR0');
    assert.equal(bed.p64(AREA + 0x7ed0), 0xd01n, 'EFER');
    assert.equal(bed.p32(AREA + 0x7e10), 0xa09b_0010, 'CS');
    assert.equal(bed.p64(AREA + 0x7e48), 0x1234_5000n, 'FS base');
  });

  it('relocates by the saved SMBASE and goes on where the handler says', () => {
    bed.protectedMode();
    bed.call('deliver_smi');
    bed.w32(AREA + 0x7f00, 0x20_0000);
    bed.w64(AREA + 0x7f78, 0x4444n);
    bed.w64(AREA + 0x7fd8, 0x5555n);
    bed.call('rsm');
    assert.equal(bed.get(SMBASE), 0x20_0000n);
    assert.equal(bed.get(RIP), 0x4444n);
    assert.equal(bed.get(RSP), 0x5555n);
    bed.call('deliver_smi');
    assert.equal(bed.base(CS), 0x20_0000);
    assert.equal(bed.p64(0x20_0000 + 0x8000 + 0x7f78), 0x4444n);
  });

  it('blocks SMI, INIT and NMI; an NMI that was blocked before stays so', () => {
    bed.protectedMode();
    const all = INTERRUPT_SMI | INTERRUPT_INIT | INTERRUPT_NMI;
    bed.set(INTERRUPT_PENDING, all);
    assert.equal(window(), all);
    bed.set(SHADOW, 2);
    assert.equal(window() & INTERRUPT_SMI, 0, 'not behind MOV SS');
    bed.set(SHADOW, 0);
    bed.call('deliver_smi');
    assert.equal(window(), 0);
    bed.call('rsm');
    assert.equal(window(), all);
    bed.set(NMI_BLOCKED, 1);
    bed.call('deliver_smi');
    bed.set(NMI_BLOCKED, 0);
    assert.equal(window(), INTERRUPT_NMI, 'after an IRET of the handler');
    bed.call('rsm');
    assert.equal(bed.get(NMI_BLOCKED), 1n);
  });

  it('goes back into HLT unless the handler clears the flag', () => {
    bed.protectedMode();
    bed.set(HALTED, 1);
    bed.call('deliver_smi');
    assert.equal(bed.get(HALTED), 0n);
    assert.equal(bed.p8(AREA + 0x7ec9), 1);
    bed.call('rsm');
    assert.equal(bed.get(HALTED), 1n);
    bed.fault();
    bed.call('deliver_smi');
    bed.w8(AREA + 0x7ec9, 0);
    bed.call('rsm');
    assert.equal(bed.get(HALTED), 0n);
  });

  it('RSM is undefined outside', () => {
    bed.call('rsm');
    assert.equal(bed.fault(), '6:0');
  });

  const INVALID: ReadonlyArray<[string, number, bigint]> = [
    ['paging without protection', 0x7f58, 0x8000_0010n],
    ['NW without CD', 0x7f58, 0x2000_0011n],
    ['upper half of CR0', 0x7f58, 0x1_0000_0011n],
    ['reserved bits of CR4', 0x7f48, 1n << 40n],
    ['PCIDE outside long mode', 0x7f48, 0x2_0000n],
    ['reserved bits of EFER', 0x7ed0, 2n],
    ['LMA without paging', 0x7ed0, 0x500n],
    ['an address in CR3 that does not exist', 0x7f50, 1n << 60n],
  ];
  for (const [name, at, value] of INVALID) {
    it(`RSM shuts down: ${name}`, () => {
      bed.protectedMode();
      bed.call('deliver_smi');
      bed.w64(AREA + at, value);
      bed.call('rsm');
      assert.equal(bed.fault(), 'fault 3');
      assert.equal(bed.get(EXIT_REASON), SHUTDOWN);
      assert.equal(bed.get(SMM), 1n);
    });
  }

  it('reset leaves it, INIT keeps SMBASE', () => {
    bed.call('deliver_smi');
    bed.w32(AREA + 0x7f00, 0x8_0000);
    bed.call('rsm');
    bed.call('cpu_init');
    assert.equal(bed.get(SMBASE), 0x8_0000n);
    bed.call('deliver_smi');
    bed.call('cpu_reset');
    assert.equal(bed.get(SMM), 0n);
    assert.equal(bed.get(SMBASE), 0x3_0000n);
  });
});
