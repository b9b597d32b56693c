import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { CODE_MASK, PAGE_CODE, PAGE_DIRTY, PAGE_FLAGS, PAGE_LOG, RAM_BASE } from '../tcg/layout.ts';
import { CR2, CR3, CR4, EFLAGS, HFLAGS, HF_ONE_INSN, KEY, PDPTE } from './layout.ts';
import { MMIO_ADDRESS, ROM_ADDRESS, Testbed } from './testbed.cases.ts';

const P = 1n;
const RW = 2n;
const US = 4n;
const A = 0x20n;
const D = 0x40n;
const PS = 0x80n;
const G = 0x100n;
const XD = 1n << 63n;
const USER = 1;
const SMAP = 2;

let bed: Testbed;
beforeEach(() => {
  bed = new Testbed();
});

const PML4 = 0x1000;
const PDPT = 0x2000;
const PD = 0x3000;
const PT = 0x4000;
/** Maps va 0x40_0000 + n pages by PT entries; tables at 0x1000. */
function fourLevel(entry: bigint, upper = P | RW | US): void {
  bed.w64(PML4, BigInt(PDPT) | upper);
  bed.w64(PDPT, BigInt(PD) | upper);
  bed.w64(PD + 8 * 2, BigInt(PT) | upper);
  bed.w64(PT, entry);
  bed.longMode(PML4);
}
const VA = 0x40_0000;

describe('4-level paging', () => {
  it('translates and sets accessed and dirty flags', () => {
    fourLevel(0x10_0000n | P | RW);
    bed.w64(0x10_0008, 0x1122_3344_5566_7788n);
    assert.equal(bed.load(VA + 8), 0x1122_3344_5566_7788n);
    assert.equal(bed.p64(PT) & (A | D), A);
    assert.equal(bed.p64(PML4) & A, A);
    assert.equal(bed.p64(PD + 16) & A, A);
    bed.store(VA + 8, 0x99n, 1);
    assert.equal(bed.p64(PT) & (A | D), A | D);
    assert.equal(bed.load(VA + 8, 1), 0x99n);
    assert.equal(bed.fault(), '');
  });

  it('reports exact error codes', () => {
    fourLevel(0n);
    bed.load(VA, 4, USER);
    assert.equal(bed.fault(), '14:4');
    assert.equal(bed.get(CR2), BigInt(VA));
    bed.store(VA + 5, 0n, 4);
    assert.equal(bed.fault(), '14:2');
    assert.equal(bed.get(CR2), BigInt(VA + 5));
    fourLevel(0x10_0000n | P | US);
    bed.store(VA, 0n, 4, USER);
    assert.equal(bed.fault(), '14:7');
    bed.store(VA, 0n, 4);
    assert.equal(bed.fault(), '14:3', 'CR0.WP');
    fourLevel(0x10_0000n | P | RW);
    bed.load(VA, 4, USER);
    assert.equal(bed.fault(), '14:5');
    fourLevel(0x10_0000n | P | RW | (1n << 45n));
    bed.load(VA, 4);
    assert.equal(bed.fault(), '14:9', 'reserved');
    fourLevel(0x10_0000n | P | RW | US | XD);
    bed.call('code_host_address', BigInt(VA));
    assert.equal(bed.fault(), '14:11');
  });

  it('honours WP clear, SMEP and SMAP', () => {
    fourLevel(0x10_0000n | P);
    bed.mode({ cr0: 0x8000_0033 });
    bed.store(VA, 7n, 4);
    assert.equal(bed.fault(), '');
    fourLevel(0x10_0000n | P | RW | US);
    assert.notEqual(bed.call('code_host_address', BigInt(VA)), 0n);
    bed.mode({ cr4: 0x10_06a0 });
    bed.call('code_host_address', BigInt(VA));
    assert.equal(bed.fault(), '14:11');
    bed.mode({ cr4: 0x20_06a0 });
    assert.equal(Number(bed.get(HFLAGS) >> 16n) & 3, SMAP);
    bed.load(VA, 4, SMAP);
    assert.equal(bed.fault(), '14:1');
    bed.load(VA, 4, 0);
    assert.equal(bed.fault(), '');
    bed.set(EFLAGS, 0x4_0000);
    bed.call('update_hflags');
    assert.equal(Number(bed.get(HFLAGS) >> 16n) & 3, 0, 'AC');
  });

  it('maps 2 MiB and 1 GiB pages and drops every part of them on INVLPG', () => {
    bed.w64(PML4, BigInt(PDPT) | P | RW);
    bed.w64(PDPT, BigInt(PD) | P | RW);
    bed.w64(PD + 16, 0x20_0000n | P | RW | PS);
    bed.longMode(PML4);
    bed.w32(0x20_5000, 0xabc);
    assert.equal(bed.load(VA + 0x5000, 4), 0xabcn);
    assert.equal(bed.load(VA + 0x6000, 4), 0n);
    bed.w64(PD + 16, 0n);
    bed.call('invlpg', BigInt(VA + 0x1f_0000));
    bed.load(VA + 0x5000, 4);
    assert.equal(bed.fault(), '14:0');
    bed.w64(PDPT + 8, 0n | P | RW | PS);
    assert.equal(bed.load(0x4020_5000, 4), 0xabcn);
    bed.w64(PDPT + 8, 0n);
    bed.call('invlpg', 0x7fff_f000n);
    bed.load(0x4020_5000, 4);
    assert.equal(bed.fault(), '14:0');
    bed.w64(PDPT + 8, 0x1000n | P | RW | PS | 0x2000n);
    bed.load(0x4020_5000, 4);
    assert.equal(bed.fault(), '14:9', 'misaligned 1 GiB page');
  });

  it('keeps global pages over CR3 writes and drops the others', () => {
    fourLevel(0x10_0000n | P | RW | G);
    bed.w64(PT + 8, 0x10_1000n | P | RW);
    bed.load(VA, 4);
    bed.load(VA + 0x1000, 4);
    bed.w64(PT, 0n);
    bed.w64(PT + 8, 0n);
    bed.call('write_cr', 3n, BigInt(PML4));
    bed.load(VA, 4);
    assert.equal(bed.fault(), '');
    bed.load(VA + 0x1000, 4);
    assert.equal(bed.fault(), '14:0');
    bed.call('write_cr', 4n, bed.get(CR4) & ~0x80n);
    bed.load(VA, 4);
    assert.equal(bed.fault(), '14:0');
  });

  it('crosses pages, all or nothing', () => {
    fourLevel(0x10_0000n | P | RW);
    bed.w64(PT + 8, 0x11_0000n | P | RW);
    bed.store(VA + 0xffd, 0x8877_6655_4433_2211n);
    assert.equal(bed.p8(0x10_0fff), 0x33);
    assert.equal(bed.p8(0x11_0000), 0x44);
    assert.equal(bed.load(VA + 0xffd), 0x8877_6655_4433_2211n);
    bed.w64(PT + 8, 0n);
    bed.call('invlpg', BigInt(VA + 0x1000));
    bed.store(VA + 0xffd, 0n);
    assert.equal(bed.fault(), '14:2');
    assert.equal(bed.get(CR2), BigInt(VA + 0x1000));
    assert.equal(bed.p8(0x10_0ffd), 0x11);
  });

  it('raises #GP or #SS for addresses that are not canonical', () => {
    fourLevel(0n);
    bed.load(0x8000_0000_0000n, 4);
    assert.equal(bed.fault(), '13:0');
    bed.load(0x8000_0000_0000n, 4, 8);
    assert.equal(bed.fault(), '12:0');
    bed.load(0xffff_8000_0000_0000n, 4);
    assert.equal(bed.fault(), '14:0');
  });

  it('walks five levels', () => {
    fourLevel(0x10_0000n | P | RW);
    bed.w64(0x8000, BigInt(PML4) | P | RW);
    bed.mode({ cr3: 0x8000, cr4: 0x16a0 });
    bed.w32(0x10_0000, 77);
    assert.equal(bed.load(VA, 4), 77n);
    bed.load(0xff_8000_0000_0000n, 4);
    assert.equal(bed.fault(), '14:0', 'canonical with 57 bits');
  });
});

describe('32-bit paging', () => {
  it('walks two levels, and PSE pages beyond 4 GiB are MMIO here', () => {
    bed.protectedMode();
    bed.w32(0x1004, 0x2007);
    bed.w32(0x2004, 0x30_0003);
    bed.mode({ cr0: 0x8000_0033, cr3: 0x1000, cr4: 0x10 });
    bed.w32(0x30_0010, 42);
    assert.equal(bed.load(0x40_1010, 4), 42n);
    assert.equal(bed.p32(0x2004) & 0x60, 0x20);
    bed.load(0x40_1010, 4, USER);
    assert.equal(bed.fault(), '14:5');
    bed.w32(0x1008, 0x40_0083);
    bed.w32(0x41_2345 & ~3, 0xfeed);
    assert.equal(bed.load(0x81_2344, 4), 0xfeedn);
    bed.w32(0x100c, 0x2083 | (1 << 21));
    bed.load(0xc0_0000, 4);
    assert.equal(bed.fault(), '14:9');
    bed.store(0xffff_fffe, 0n, 4);
    assert.equal(bed.fault(), '14:2');
  });

  it('uses the PAE pointers loaded with CR3', () => {
    bed.protectedMode();
    bed.w64(0x1020, 0x2000n | P);
    bed.w64(0x2000 + 16, 0x3000n | P | RW);
    bed.w64(0x3000, 0x10_0000n | P | RW);
    bed.mode({ cr4: 0x20 });
    bed.call('write_cr', 3n, 0x1020n);
    bed.call('write_cr', 0n, 0x8000_0033n);
    bed.w32(0x10_0000, 5);
    assert.equal(bed.load(VA, 4), 5n);
    bed.w64(0x1020, 0n);
    bed.call('tlb_flush');
    assert.equal(bed.load(VA, 4), 5n, 'the registers hold the pointers');
    assert.equal(bed.get(PDPTE), 0x2001n);
    bed.w64(0x1020, 0x2000n | P | 2n);
    bed.call('write_cr', 3n, 0x1020n);
    assert.equal(bed.fault(), '13:0');
    assert.equal(bed.get(CR3), 0x1020n);
  });
});

describe('physical memory', () => {
  it('splits MMIO, ignores ROM writes', () => {
    bed.protectedMode();
    bed.mmioValue = 0x55;
    assert.equal(bed.load(MMIO_ADDRESS + 4, 1), 0x55n);
    bed.store(MMIO_ADDRESS + 8, 0x1_0000_0002n, 8);
    assert.deepEqual(bed.calls, [
      ['mmio_read', MMIO_ADDRESS + 4, 1],
      ['mmio_write', MMIO_ADDRESS + 8, 4, 2],
      ['mmio_write', MMIO_ADDRESS + 12, 4, 1],
    ]);
    bed.store(ROM_ADDRESS, 1n, 4);
    assert.equal(bed.load(ROM_ADDRESS, 4), 0n);
  });

  it('stops stores into translated code and retries them alone', () => {
    bed.protectedMode();
    const page = (RAM_BASE + 0x10_0000) >>> 12;
    bed.load(0x10_0000, 4);
    bed.bytes[PAGE_FLAGS + page] = PAGE_CODE;
    bed.view.setBigUint64(CODE_MASK + page * 8, 2n, true);
    bed.call('tlb_protect', page << 12);
    bed.store(0x10_0000, 1n, 4);
    assert.equal(bed.fault(), '', 'other bytes of the page');
    bed.store(0x10_003e, 0x0102_0304n, 4);
    assert.equal(bed.fault(), 'fault 2');
    assert.deepEqual(bed.calls, [['code_written', RAM_BASE + 0x10_003e, 4]]);
    assert.equal(bed.p32(0x10_003e), 0);
    bed.set(KEY, bed.get(KEY) | BigInt(HF_ONE_INSN));
    bed.store(0x10_003e, 0x0102_0304n, 4);
    assert.equal(bed.fault(), '');
    assert.equal(bed.p32(0x10_003e), 0x0102_0304);
  });

  it('logs dirty pages once', () => {
    bed.protectedMode();
    const page = (RAM_BASE + 0x10_0000) >>> 12;
    bed.bytes[PAGE_FLAGS + page] = PAGE_LOG;
    bed.store(0x10_0000, 1n, 4);
    assert.equal(bed.bytes[PAGE_FLAGS + page], PAGE_DIRTY);
    assert.equal(bed.p32(0x10_0000), 1);
  });

  it('translates for debuggers without side effects', () => {
    fourLevel(0x10_0000n | P | RW);
    assert.equal(bed.exports['debug_translate']!(BigInt(VA + 0x123)), 0x10_0123);
    assert.equal(bed.exports['debug_translate']!(0n), -1);
    assert.equal(bed.p64(PT) & A, 0n);
    assert.equal(bed.fault(), '');
  });
});
