import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import {
  CC_OP,
  CC_SRC,
  CR2,
  CS,
  DR6,
  EFLAGS,
  EXIT_REASON,
  EXIT_REQUEST,
  FAULT,
  HALTED,
  HFLAGS,
  HF_CS64,
  HF_LMA,
  HF_VM,
  INTERRUPT_PENDING,
  KEY,
  LDTR,
  RESTORE,
  RIP,
  RSP,
  SEG,
  SEG_ATTR,
  SEG_STRIDE,
  SHADOW,
  SS,
  TR,
} from './layout.ts';
import { descriptor, gate, Testbed } from './testbed.cases.ts';

let bed: Testbed;
beforeEach(() => {
  bed = new Testbed();
});

const GDT = 0x8000;
const IDT = 0x9000;
const TSS = 0xa000;
const CODE64 = 0xa09b;
const CODE32 = 0xc09b;
const DATA = 0xc093;

/** Identity-mapped 64-bit system: GDT with kernel and user segments, TSS with RSP0 and IST1, every gate to 0x1000 + 16 * vector. */
function longSystem(cpl: number, type = 0x8e): void {
  bed.w64(0x1000, 0x2007n);
  bed.w64(0x2000, 0x87n);
  const gdt = [
    0n,
    0n,
    descriptor(0, 0xffff_ffff, CODE64),
    descriptor(0, 0xffff_ffff, DATA),
    0n,
    descriptor(0, 0xffff_ffff, DATA | 0x60),
    descriptor(0, 0xffff_ffff, CODE64 | 0x60),
  ];
  gdt.forEach((d, i) => bed.w64(GDT + i * 8, d));
  for (let v = 0; v < 256; v++) {
    bed.w64(IDT + v * 16, gate(0x10, 0x1000 + v * 16, type, v === 2 ? 1 : 0));
    bed.w64(IDT + v * 16 + 8, 0xffff_8000n);
  }
  bed.w64(TSS + 4, 0x5_0000n);
  bed.w64(TSS + 0x24, 0x6_0000n);
  bed.tables(GDT, 0x3f, IDT, 0xfff);
  bed.setSegment(TR, 0x40, TSS, 0x67, 0x8b);
  bed.longMode(0x1000, cpl);
  bed.set(RIP, 0x1234_5678);
  bed.set(RSP, 0x4_0008);
  bed.set(EFLAGS, 0x202);
  bed.set(CC_OP, 1);
  bed.set(CC_SRC, 0x41);
}

describe('long mode', () => {
  it('aligns the stack and pushes five or six words', () => {
    longSystem(0);
    bed.deliver(13, 0x18);
    assert.equal(bed.fault(), '');
    assert.equal(bed.rip, 0xffff_8000_0000_10d0n);
    assert.equal(bed.get(RSP), 0x4_0000n - 48n);
    const frame = [0, 8, 16, 24, 32, 40].map((o) => bed.p64(0x4_0000 - 48 + o));
    assert.deepEqual(frame, [0x18n, 0x1234_5678n, 0x10n, 0x1_0243n, 0x4_0008n, 0x18n]);
    assert.equal(bed.get(EFLAGS) & 0x200n, 0n);
  });

  it('switches to RSP0 with a null SS, and IRETQ returns', () => {
    longSystem(3);
    assert.equal(bed.cpl, 3);
    bed.call('deliver_interrupt', 0x20);
    assert.equal(bed.cpl, 0);
    assert.equal(bed.selector(SS), 0);
    assert.equal(bed.get(RSP), 0x5_0000n - 40n);
    assert.equal(bed.p64(0x5_0000 - 8), 0x2bn);
    assert.equal(bed.p64(0x5_0000 - 24), 0x243n, 'no RF for interrupts');
    bed.call('iret', 8n, 2n);
    assert.equal(bed.fault(), '');
    assert.equal(bed.cpl, 3);
    assert.equal(bed.rip, 0x1234_5678n);
    assert.equal(bed.get(RSP), 0x4_0008n);
    assert.equal(bed.call('get_rflags'), 0x243n);
  });

  it('uses the IST', () => {
    longSystem(0);
    bed.call('deliver_nmi');
    assert.equal(bed.get(RSP), 0x6_0000n - 40n);
    assert.equal(bed.rip, 0xffff_8000_0000_1020n);
  });

  it('checks the gate: DPL of software interrupts, presence, type, limit', () => {
    longSystem(3);
    bed.call('int_n', 0x80n, 0x1234_567an);
    bed.call('deliver_fault');
    assert.equal(bed.rip, 0xffff_8000_0000_10d0n, '#GP');
    assert.equal(bed.p64(0x5_0000 - 48), 0x402n);
    assert.equal(bed.p64(0x5_0000 - 40), 0x1234_5678n, 'the INT itself');
    longSystem(3, 0xee);
    bed.call('int_n', 0x80n, 0x1234_567an);
    bed.call('deliver_fault');
    assert.equal(bed.rip, 0xffff_8000_0000_1800n);
    assert.equal(bed.p64(0x5_0000 - 40), 0x1234_567an);
    longSystem(3);
    bed.w64(IDT + 0x20 * 16, gate(0x10, 0, 0x0e));
    bed.call('deliver_interrupt', 0x20);
    assert.equal(bed.rip, 0xffff_8000_0000_10b0n, '#NP');
    assert.equal(bed.p64(0x5_0000 - 48), 0x103n, 'EXT');
  });

  it('makes double and triple faults', () => {
    longSystem(3);
    bed.w64(IDT + 14 * 16, 0n);
    bed.set(CR2, 0x99);
    bed.deliver(14, 4);
    assert.equal(bed.rip, 0xffff_8000_0000_1080n);
    assert.equal(bed.p64(0x5_0000 - 48), 0n);
    longSystem(3);
    bed.tables(GDT, 0x3f, IDT, 15);
    bed.deliver(6);
    assert.equal(bed.get(FAULT), 3n);
    assert.equal(bed.get(EXIT_REASON), 6n);
  });

  it('restores CC_OP from the restore word', () => {
    longSystem(0);
    bed.set(FAULT, 1);
    bed.set(0x3f8, 6);
    bed.set(0x408, 0);
    bed.set(RESTORE, 20 << 16);
    bed.set(0x80, 0);
    bed.call('deliver_fault');
    assert.equal(bed.p64(0x4_0000 - 24) & 0x8d5n, 0x44n, 'CC_LOGIC8 of zero');
  });

  it('goes in and out by SYSCALL and SYSRET', () => {
    longSystem(3);
    bed.set(0x388, (0x0023n << 48n) | (0x0010n << 32n));
    bed.set(0x390, 0xffff_8000_0000_2000n);
    bed.set(0x3a0, 0x4_7700);
    bed.call('syscall', 0x1234_567an);
    assert.equal(bed.rip, 0xffff_8000_0000_2000n);
    assert.equal(bed.cpl, 0);
    assert.equal(bed.get(8), 0x1234_567an);
    assert.equal(bed.get(11 * 8), 0x243n);
    assert.equal(bed.get(EFLAGS) & 0x200n, 0n);
    bed.call('sysret', 8n);
    assert.equal(bed.cpl, 3);
    assert.equal(bed.selector(CS), 0x33);
    assert.equal(bed.selector(SS), 0x2b);
    assert.equal(bed.rip, 0x1234_567an);
    assert.equal(bed.get(EFLAGS) & 0x200n, 0x200n);
  });
});

/** 32-bit system without paging: GDT, TSS with ESP0, gates to 0x1000 + 16 * vector. */
function protectedSystem(cpl: number): void {
  const gdt = [
    0n,
    descriptor(0, 0xffff_ffff, CODE32),
    descriptor(0, 0xffff_ffff, DATA),
    descriptor(0, 0xffff_ffff, CODE32 | 0x60),
    descriptor(0, 0xffff_ffff, DATA | 0x60),
    descriptor(TSS, 0x67, 0x8b),
    descriptor(TSS + 0x100, 0x67, 0xe9),
    0n,
  ];
  gdt.forEach((d, i) => bed.w64(GDT + i * 8, d));
  bed.w64(GDT + 56, gate(0x30, 0, 0xe5));
  for (let v = 0; v < 256; v++) bed.w64(IDT + v * 8, gate(8, 0x1000 + v * 16, 0xee));
  bed.w32(TSS + 4, 0x5_0000);
  bed.w16(TSS + 8, 0x10);
  bed.tables(GDT, 0x3f, IDT, 0x7ff);
  bed.setSegment(TR, 0x28, TSS, 0x67, 0x8b);
  bed.setSegment(LDTR, 0, 0, 0, 0x1_0000);
  bed.protectedMode(cpl);
  bed.set(RIP, 0x2222);
  bed.set(RSP, 0x4_0000);
  bed.set(EFLAGS, 0x202);
  bed.set(CC_OP, 1);
  bed.set(CC_SRC, 0);
}

describe('protected mode', () => {
  it('switches stacks to the inner level and returns by IRET', () => {
    protectedSystem(3);
    bed.deliver(13, 0);
    assert.equal(bed.cpl, 0);
    assert.equal(bed.get(RSP), 0x5_0000n - 24n);
    const frame = [0, 4, 8, 12, 16, 20].map((o) => bed.p32(0x5_0000 - 24 + o));
    assert.deepEqual(frame, [0, 0x2222, 0x1b, 0x1_0202, 0x4_0000, 0x23]);
    bed.set(RSP, 0x5_0000 - 20);
    bed.call('iret', 4n, 1n);
    assert.equal(bed.fault(), '');
    assert.equal(bed.cpl, 3);
    assert.equal(bed.rip, 0x2222n);
    assert.equal(bed.get(RSP), 0x4_0000n);
  });

  it('drops privileged data segments on the way out', () => {
    protectedSystem(3);
    bed.call('deliver_interrupt', 0x30);
    bed.call('seg_load', 3n, 0x10n);
    assert.equal(bed.fault(), '');
    bed.call('iret', 4n, 1n);
    assert.equal(bed.selector(3), 0);
    assert.equal(bed.get(SEG + 3 * SEG_STRIDE + SEG_ATTR), 0x1_0000n);
  });

  it('enters and leaves virtual-8086 mode', () => {
    protectedSystem(0);
    const stack = [0x100, 0x2000, 0x2_3202, 0xfff0, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000];
    stack.forEach((word, i) => bed.w32(0x4_0000 + i * 4, word));
    bed.call('iret', 4n, 1n);
    assert.equal(bed.fault(), '');
    assert.equal(bed.cpl, 3);
    assert.notEqual(Number(bed.get(HFLAGS)) & HF_VM, 0);
    assert.equal(bed.base(CS), 0x2_0000);
    assert.equal(bed.get(RSP), 0xfff0n);
    assert.equal(bed.selector(5), 0x7000);
    bed.call('int_n', 0x21n, 0x102n);
    bed.call('deliver_fault');
    assert.equal(bed.cpl, 0);
    assert.equal(Number(bed.get(HFLAGS)) & HF_VM, 0);
    assert.equal(bed.rip, 0x1210n);
    const frame = [0, 4, 8, 12, 16, 20, 24, 28, 32].map((o) => bed.p32(0x5_0000 - 36 + o));
    assert.deepEqual(frame, [0x102, 0x2000, 0x2_3202, 0xfff0, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000]);
    assert.equal(bed.selector(3), 0);
  });

  it('refuses INT n in virtual-8086 mode below IOPL 3', () => {
    protectedSystem(0);
    [0x100, 0x2000, 0x2_0202, 0xfff0, 0x3000, 0, 0, 0, 0].forEach((word, i) =>
      bed.w32(0x4_0000 + i * 4, word),
    );
    bed.call('iret', 4n, 1n);
    bed.call('int_n', 0x21n, 0x102n);
    assert.equal(bed.fault(), '13:0');
    bed.call('pushf_value', 2n);
    assert.equal(bed.fault(), '13:0');
    bed.call('cli');
    assert.equal(bed.fault(), '13:0');
  });

  it('redirects INT n and keeps VIF in virtual-8086 mode with VME', () => {
    protectedSystem(0);
    bed.mode({ cr4: 1 });
    bed.w16(TSS + 0x66, 0x88); // the I/O map; the 32 bytes before it say which vectors go to the IDT
    bed.setSegment(TR, 0x28, TSS, 0x8f, 0x8b);
    bed.w8(TSS + 0x68 + 4, 0x04);
    bed.w32(0x21 * 4, 0x1234_5678);
    [0x100, 0x2000, 0x2_0202, 0xfff0, 0x3000, 0, 0, 0, 0].forEach((word, i) => bed.w32(0x4_0000 + i * 4, word));
    bed.call('iret', 4n, 1n);
    bed.call('sti');
    assert.equal(bed.get(EFLAGS) & 0x8_0200n, 0x8_0200n, 'VIF beside IF');
    bed.call('int_n', 0x21n, 0x102n);
    assert.equal(bed.fault(), '');
    assert.equal(bed.rip, 0x5678n);
    assert.equal(bed.base(CS), 0x1_2340);
    assert.equal(bed.p32(0x3_ffec), 0x3202_2000, 'IOPL 3 and IF = VIF in the image');
    assert.equal(bed.get(EFLAGS) & 0x8_0000n, 0n);
    bed.call('iret', 2n, 1n);
    assert.equal(bed.fault(), '');
    assert.equal(bed.rip, 0x102n);
    assert.equal(bed.get(EFLAGS) & 0x8_0000n, 0x8_0000n);
    bed.call('int_n', 0x22n, 0x104n);
    assert.equal(bed.fault(), '13:0', 'vector 0x22 goes to the IDT and needs IOPL 3');
  });

  it('switches tasks by a task gate and back by IRET', () => {
    protectedSystem(0);
    bed.w64(IDT + 8 * 0x40, gate(0x30, 0, 0xe5));
    const next = TSS + 0x100;
    [0x7777, 0x2, 1, 2, 3, 4, 0x3_0000, 6, 7, 8].forEach((word, i) => bed.w32(next + 0x20 + i * 4, word));
    [0x10, 8, 0x10, 0x10, 0, 0].forEach((selector, i) => bed.w32(next + 0x48 + i * 4, selector));
    bed.set(0, 0xaaaa);
    bed.call('deliver_interrupt', 0x40);
    assert.equal(bed.fault(), '');
    assert.equal(bed.rip, 0x7777n);
    assert.equal(bed.get(RSP), 0x3_0000n);
    assert.equal(bed.get(0), 1n);
    assert.equal(bed.selector(TR), 0x30);
    assert.equal(bed.call('get_rflags') & 0x4000n, 0x4000n, 'NT');
    assert.equal(bed.p32(next) & 0xffff, 0x28, 'link');
    assert.equal(bed.p8(GDT + 0x30 + 5), 0xeb, 'busy');
    assert.equal(bed.p32(TSS + 0x20), 0x2222);
    assert.equal(bed.p32(TSS + 0x28), 0xaaaa);
    bed.set(RIP, 0x7780);
    bed.call('iret', 4n, 1n);
    assert.equal(bed.fault(), '');
    assert.equal(bed.rip, 0x2222n);
    assert.equal(bed.get(0), 0xaaaan);
    assert.equal(bed.selector(TR), 0x28);
    assert.equal(bed.p8(GDT + 0x30 + 5), 0xe9, 'available again');
    assert.equal(bed.p32(next + 0x20), 0x7781);
    assert.equal(bed.get(0x320) & 8n, 8n, 'TS');
  });

  it('calls through gates to inner levels, copies parameters, returns', () => {
    protectedSystem(3);
    bed.w64(GDT + 56, gate(8, 0x4444, 0xec, 2));
    bed.w32(0x4_0000, 0x11);
    bed.w32(0x4_0004, 0x22);
    bed.call('call_far', 0x3bn, 0n, 4n | (7n << 8n));
    assert.equal(bed.fault(), '');
    assert.equal(bed.cpl, 0);
    assert.equal(bed.rip, 0x4444n);
    const frame = [0, 4, 8, 12, 16, 20].map((o) => bed.p32(0x5_0000 - 24 + o));
    assert.deepEqual(frame, [0x2229, 0x1b, 0x11, 0x22, 0x4_0000, 0x23]);
    bed.call('ret_far', 4n, 8n);
    assert.equal(bed.fault(), '');
    assert.equal(bed.cpl, 3);
    assert.equal(bed.rip, 0x2229n);
    assert.equal(bed.get(RSP), 0x4_0008n);
  });
});

describe('real mode', () => {
  it('goes through the vector table and back', () => {
    bed.w32(0x21 * 4, 0x1234_5678);
    bed.setSegment(CS, 0x100, 0x1000, 0xffff, 0x93);
    bed.setSegment(SS, 0x2000, 0x2_0000, 0xffff, 0x93);
    bed.set(RSP, 0x1_0002);
    bed.set(RIP, 0x50);
    bed.set(EFLAGS, 0x202);
    bed.set(0x318, 0x3ff);
    bed.call('update_hflags');
    bed.call('int_n', 0x21n, 0x52n);
    bed.call('deliver_fault');
    assert.equal(bed.rip, 0x5678n);
    assert.equal(bed.base(CS), 0x1_2340);
    assert.equal(bed.get(RSP), 0x1_fffcn);
    bed.call('iret', 2n, 1n);
    assert.equal(bed.rip, 0x52n);
    assert.equal(bed.base(CS), 0x1000);
    assert.equal(bed.get(EFLAGS) & 0x200n, 0x200n);
  });
});

describe('windows and shadows', () => {
  it('opens by STI one instruction later', () => {
    bed.protectedMode();
    bed.set(INTERRUPT_PENDING, 1);
    bed.set(EFLAGS, 0);
    assert.equal(bed.call('interrupt_window'), 0n);
    bed.call('sti');
    assert.equal(bed.get(SHADOW), 1n);
    assert.equal(bed.call('interrupt_window'), 0n);
    assert.equal(bed.get(EXIT_REQUEST), 0n);
    bed.call('end_of_insn', 0x10n, bed.get(HFLAGS) & 0xffff_ffffn);
    assert.equal(bed.get(EXIT_REQUEST), 1n);
    assert.equal(bed.call('interrupt_window'), 1n);
    bed.call('hlt', 0x11n);
    assert.equal(bed.get(HALTED), 1n);
    assert.equal(bed.get(FAULT), 3n);
  });

  it('traps single steps and data breakpoints', () => {
    bed.protectedMode();
    bed.set(EFLAGS, 0x100);
    bed.call('update_hflags');
    bed.call('end_of_insn', 0x77n, bed.get(HFLAGS) & 0xffff_ffffn);
    assert.equal(bed.fault(), '1:0');
    assert.equal(bed.rip, 0x77n);
    assert.equal(bed.get(DR6), 0xffff_4ff0n);
    bed.set(EFLAGS, 0);
    bed.call('write_dr', 6n, 0n);
    bed.call('write_dr', 1n, 0x10_0004n);
    bed.call('write_dr', 7n, 0xd0_0004n);
    bed.load(0x10_0000, 8);
    bed.store(0x10_0000, 0n, 4);
    bed.call('end_of_insn', 0x78n, bed.get(HFLAGS) & 0xffff_ffffn);
    assert.equal(bed.fault(), '');
    bed.store(0x10_0002, 0n, 4);
    bed.call('end_of_insn', 0x79n, bed.get(HFLAGS) & 0xffff_ffffn);
    assert.equal(bed.fault(), '1:0');
    assert.equal(bed.get(DR6) & 15n, 2n);
    bed.call('write_dr', 7n, 0x2400n);
    bed.call('read_dr', 0n);
    assert.equal(bed.fault(), '1:0', 'general detect');
  });
});

describe('mode switches', () => {
  it('enters long mode and leaves it', () => {
    bed.protectedMode();
    bed.w64(0x1000, 0x2007n);
    bed.w64(0x2000, 0x87n);
    bed.set(0x428, 0x700);
    bed.call('wrmsr', 0xc000_0080n, 0x901n);
    bed.call('write_cr', 0n, 0x8000_0033n);
    assert.equal(bed.fault(), '13:0', 'PAE is off');
    bed.call('write_cr', 4n, 0x20n);
    bed.call('write_cr', 3n, 0x1000n);
    bed.call('write_cr', 0n, 0x8000_0033n);
    assert.equal(bed.fault(), '');
    assert.equal(bed.call('rdmsr', 0xc000_0080n), 0xd01n);
    assert.equal(Number(bed.get(KEY)) & (HF_LMA | HF_CS64), HF_LMA);
    bed.w64(GDT + 8, descriptor(0, 0xffff_ffff, CODE64));
    bed.tables(GDT, 15, 0, 0);
    bed.call('jmp_far', 8n, 0x3000n, 4n | (7n << 8n));
    assert.equal(Number(bed.get(KEY)) & HF_CS64, HF_CS64);
    bed.call('write_cr', 4n, 0n);
    assert.equal(bed.fault(), '13:0');
    bed.call('write_cr', 0n, 0x33n);
    assert.equal(bed.fault(), '13:0', 'not from 64-bit code');
  });
});
