import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import {
  CS,
  DS,
  ES,
  FS,
  GDT_BASE,
  HFLAGS,
  HF_FLAT,
  HF_SHADOW,
  LDTR,
  RIP,
  RSP,
  SEG,
  SEG_LIMIT,
  SEG_STRIDE,
  SHADOW,
  SS,
  TR,
} from './layout.ts';
import { descriptor, Testbed } from './testbed.cases.ts';

let bed: Testbed;
beforeEach(() => {
  bed = new Testbed();
});

const GDT = 0x8000;
const CODE = 0xc09b;
const DATA = 0xc093;
const USER = 0x60;

/** Descriptors from selector 8 on; protected mode at a level. */
function gdt(level: number, ...descriptors: bigint[]): void {
  bed.w64(GDT, 0n);
  descriptors.forEach((d, i) => bed.w64(GDT + 8 + i * 8, d));
  bed.tables(GDT, descriptors.length * 8 + 7, 0, 0);
  bed.setSegment(LDTR, 0, 0, 0, 0x1_0000);
  bed.protectedMode(level);
}

/** Loads a segment register: the fault or ''. */
function loading(segment: number, selector: number): string {
  bed.call('seg_load', BigInt(segment), BigInt(selector));
  return bed.fault();
}

const FLAT_DATA = descriptor(0, 0xffff_ffff, DATA);

describe('data segment loads', () => {
  it('checks type, privilege, presence and table limit', () => {
    gdt(
      3,
      descriptor(0, 0xffff_ffff, DATA | USER), // 08
      FLAT_DATA, // 10: DPL 0
      descriptor(0, 0xffff_ffff, (DATA | USER) & ~0x80), // 18: not present
      descriptor(0, 0xffff_ffff, 0xc099 | USER), // 20: execute-only code
      descriptor(0, 0xffff_ffff, 0xc09f), // 28: conforming readable code, DPL 0
      descriptor(0, 0xffff_ffff, CODE | USER), // 30: readable code
      descriptor(0x1234_5678, 0x1_2345, 0x40f2),
    ); // 38: byte limit, not accessed
    assert.equal(loading(DS, 0x0b), '');
    assert.equal(loading(DS, 0x13), '13:10');
    assert.equal(loading(DS, 0x1b), '11:18');
    assert.equal(loading(DS, 0x23), '13:20');
    assert.equal(loading(DS, 0x2b), '', 'conforming');
    assert.equal(loading(DS, 0x33), '');
    assert.equal(loading(DS, 0x43), '13:40', 'limit');
    assert.equal(loading(DS, 0x0f), '13:c', 'no LDT');
    assert.equal(loading(DS, 0), '');
    assert.equal(loading(FS, 0x3b), '');
    assert.equal(bed.base(FS), 0x1234_5678);
    assert.equal(bed.get(SEG + FS * SEG_STRIDE + SEG_LIMIT), 0x1_2345n);
    assert.equal(bed.p8(GDT + 0x38 + 5) & 1, 1, 'accessed');
  });

  it('checks SS', () => {
    gdt(
      0,
      FLAT_DATA,
      descriptor(0, 0xffff_ffff, 0xc091),
      descriptor(0, 0xffff_ffff, DATA & ~0x80),
      descriptor(0, 0xffff_ffff, DATA | USER),
      descriptor(0, 0xffff_ffff, CODE),
    );
    assert.equal(loading(SS, 0x08), '');
    assert.equal(loading(SS, 0x10), '13:10', 'read-only');
    assert.equal(loading(SS, 0x18), '12:18', 'not present');
    assert.equal(loading(SS, 0x23), '13:20', 'RPL');
    assert.equal(loading(SS, 0x20), '13:20', 'DPL');
    assert.equal(loading(SS, 0x28), '13:28', 'code');
    assert.equal(loading(SS, 0), '13:0');
    bed.call('seg_load_shadow', 8n);
    assert.equal(bed.get(SHADOW), 2n);
    assert.notEqual(Number(bed.get(HFLAGS)) & HF_SHADOW, 0);
  });

  it('keeps limits in real mode and tracks flatness', () => {
    bed.call('seg_load', BigInt(DS), 0x1234n);
    assert.equal(bed.base(DS), 0x1_2340);
    assert.equal(bed.get(SEG + DS * SEG_STRIDE + SEG_LIMIT), 0xffffn);
    gdt(0, FLAT_DATA, descriptor(0x1000, 0xffff_ffff, DATA));
    assert.notEqual(Number(bed.get(HFLAGS)) & HF_FLAT, 0);
    loading(ES, 0x10);
    assert.equal(Number(bed.get(HFLAGS)) & HF_FLAT, 0);
  });
});

describe('access checks outside flat mode', () => {
  it('checks limits up and down, rights, null', () => {
    gdt(
      0,
      descriptor(0x1000, 0xfff, 0x4093),
      descriptor(0x1000, 0xfff, 0x4097),
      descriptor(0, 0xffff_ffff, 0xc091),
    );
    const read = (n: number, offset: number, size: number): string => {
      const linear = bed.call('seg_read', BigInt(offset), BigInt(n | (size << 8)));
      return bed.fault() || linear.toString(16);
    };
    loading(DS, 8);
    assert.equal(read(DS, 0xffc, 4), '1ffc');
    assert.equal(read(DS, 0xffd, 4), '13:0');
    loading(DS, 0x10);
    assert.equal(read(DS, 0xfff, 1), '13:0');
    assert.equal(read(DS, 0x1000, 4), '2000');
    assert.equal(read(DS, 0xffff_fffe, 4), '13:0');
    loading(DS, 0x18);
    assert.equal(read(DS, 0, 4), '0');
    bed.call('seg_write', 0n, BigInt(DS | (4 << 8)));
    assert.equal(bed.fault(), '13:0');
    loading(DS, 0);
    assert.equal(read(DS, 0, 1), '13:0');
    loading(SS, 8);
    assert.equal(read(SS, 0x1000, 1), '12:0');
  });
});

describe('far transfers', () => {
  const far = (name: string, selector: number, offset = 0x4000): string => {
    bed.call(name, BigInt(selector), BigInt(offset), 4n | (7n << 8n));
    return bed.fault();
  };

  it('checks direct targets', () => {
    gdt(
      0,
      descriptor(0, 0xffff_ffff, CODE),
      descriptor(0, 0xffff_ffff, CODE | USER),
      descriptor(0, 0xffff_ffff, 0xc09f),
      descriptor(0, 0xfff, 0x409b),
      FLAT_DATA,
      descriptor(0, 0xffff_ffff, CODE & ~0x80),
    );
    bed.set(RSP, 0x1_0000);
    assert.equal(far('jmp_far', 8), '');
    assert.equal(bed.rip, 0x4000n);
    assert.equal(far('jmp_far', 9), '13:8', 'RPL above CPL');
    assert.equal(far('jmp_far', 0x10), '13:10', 'DPL above CPL');
    assert.equal(far('jmp_far', 0x18), '', 'conforming');
    assert.equal(far('jmp_far', 0x20), '13:0', 'offset beyond the limit');
    assert.equal(far('jmp_far', 0x28), '13:28', 'data');
    assert.equal(far('jmp_far', 0x30), '11:30');
    assert.equal(far('jmp_far', 0), '13:0');
    bed.set(RIP, 0x1000);
    assert.equal(far('call_far', 8), '');
    assert.deepEqual([bed.p32(0xfff8), bed.p32(0xfffc)], [0x1007, 0x18]);
    assert.equal(bed.selector(CS), 8);
    bed.call('ret_far', 4n, 0n);
    assert.equal(bed.fault(), '');
    assert.equal(bed.rip, 0x1007n);
  });

  it('returns to outer levels only', () => {
    gdt(
      3,
      descriptor(0, 0xffff_ffff, CODE),
      descriptor(0, 0xffff_ffff, CODE | USER),
      descriptor(0, 0xffff_ffff, DATA | USER),
    );
    bed.set(RSP, 0x1_0000);
    bed.w32(0x1_0000, 0x5000);
    bed.w32(0x1_0004, 8);
    bed.call('ret_far', 4n, 0n);
    assert.equal(bed.fault(), '13:8');
  });
});

describe('descriptor tables', () => {
  it('loads LDTR and TR', () => {
    gdt(0, descriptor(0x2000, 0xf, 0x82), descriptor(0x3000, 0x67, 0x89), FLAT_DATA);
    bed.w64(0x2008, descriptor(0x777, 0xffff, 0x93));
    bed.call('lldt', 0x10n);
    assert.equal(bed.fault(), '13:10');
    bed.call('lldt', 8n);
    assert.equal(bed.fault(), '');
    assert.equal(loading(ES, 0x0c), '');
    assert.equal(bed.base(ES), 0x777);
    assert.equal(loading(ES, 0x14), '13:14');
    bed.call('ltr', 8n);
    assert.equal(bed.fault(), '13:8');
    bed.call('ltr', 0x10n);
    assert.equal(bed.fault(), '');
    assert.equal(bed.selector(TR), 0x10);
    assert.equal(bed.p8(GDT + 0x10 + 5), 0x8b);
    bed.call('ltr', 0x10n);
    assert.equal(bed.fault(), '13:10', 'busy');
  });

  it('answers LAR, LSL, VERR, VERW', () => {
    gdt(
      3,
      descriptor(0, 0xffff_ffff, DATA | USER),
      FLAT_DATA,
      descriptor(0, 0x67, 0x89),
      descriptor(0, 0xffff_ffff, 0xc099 | USER),
    );
    assert.equal(bed.call('lar', 0x0bn), 0x1_00cf_f300n);
    assert.equal(bed.call('lar', 0x13n), 0n);
    assert.equal(bed.call('lsl', 0x0bn), 0x1_ffff_ffffn);
    assert.equal(bed.call('lar', 0x1bn), 0n);
    assert.equal(bed.call('verr', 0x0bn), 1n);
    assert.equal(bed.call('verw', 0x0bn), 1n);
    assert.equal(bed.call('verr', 0x23n), 0n, 'execute-only');
    assert.equal(bed.call('verw', 0x23n), 0n);
    assert.equal(bed.call('lar', 0n), 0n);
    assert.equal(bed.call('lar', 0x100n), 0n);
    bed.set(GDT_BASE, GDT);
    assert.equal(bed.fault(), '');
  });
});
