import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { PAGE_CODE, PAGE_FLAGS, RAM_BASE } from '../tcg/layout.ts';
import { Testbed } from '../x86/testbed.cases.ts';

const PML4 = 0x1000;
const PDPT = 0x2000;
const PD = 0x3000;
const PT = 0x4000;
const PRESENT_WRITABLE = 3n;
const GLOBAL = 0x100n;
/** 16 MiB apart: they share an entry of the soft TLB. */
const VA = [0x40_0000, 0x140_0000, 0x240_0000] as const;
const PHYSICAL = [0x10_0000, 0x10_1000, 0x10_2000] as const;

let bed: Testbed;

function fills(): number {
  return Number(bed.call('tlb_fill_count'));
}

function remap(n: number, physical: number): void {
  bed.w64(PT + n * 0x1000, BigInt(physical) | PRESENT_WRITABLE | (n === 2 ? GLOBAL : 0n));
}

/** Reads the three pages in turn and returns what they hold. */
function readAll(): number[] {
  return VA.map((va) => Number(bed.load(va)));
}

beforeEach(() => {
  bed = new Testbed();
  bed.w64(PML4, BigInt(PDPT) | PRESENT_WRITABLE);
  bed.w64(PDPT, BigInt(PD) | PRESENT_WRITABLE);
  VA.forEach((va, n) => {
    bed.w64(PD + (va >>> 21) * 8, BigInt(PT + n * 0x1000) | PRESENT_WRITABLE);
    remap(n, PHYSICAL[n]!);
    bed.w64(PHYSICAL[n]!, n + 1);
  });
  bed.longMode(PML4);
});

describe('pages that share an entry', () => {
  it('are walked to once', () => {
    const before = fills();
    for (let i = 0; i < 10; i++) assert.deepEqual(readAll(), [1, 2, 3]);
    assert.equal(fills(), before + 3);
  });

  it('are forgotten by INVLPG, a CR3 write and a full flush', () => {
    readAll();
    remap(0, PHYSICAL[1]);
    bed.call('tlb_flush_page', BigInt(VA[0]));
    assert.deepEqual(readAll(), [2, 2, 3]);
    remap(1, PHYSICAL[0]);
    bed.call('tlb_flush_nonglobal');
    assert.deepEqual(readAll(), [2, 1, 3]);
    remap(2, PHYSICAL[0]);
    bed.call('tlb_flush');
    assert.deepEqual(readAll(), [2, 1, 1]);
  });

  it('are set dirty when written after a read', () => {
    readAll();
    bed.store(VA[0], 9n);
    assert.equal(bed.p64(PT) & 0x40n, 0x40n);
    assert.deepEqual(readAll(), [9, 2, 3]);
  });

  it('notice that one of them holds translated code from now on', () => {
    for (const va of VA) bed.store(va, 7n);
    const page = (RAM_BASE + PHYSICAL[0]) >>> 12;
    bed.view.setUint8(PAGE_FLAGS + page, PAGE_CODE);
    bed.call('tlb_protect', page << 12);
    const tags = bed.writeTag(VA[0]);
    assert.ok(tags === undefined || (tags & 2n) !== 0n);
    bed.load(VA[0]);
    bed.store(VA[0], 8n);
    assert.equal((bed.writeTag(VA[0]) ?? 0n) & 2n, 2n);
  });
});
