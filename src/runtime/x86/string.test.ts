import assert from 'node:assert/strict';
import { beforeEach, it } from 'node:test';
import { CODE_MASK, PAGE_CODE, PAGE_FLAGS, RAM_BASE } from '../tcg/layout.ts';
import { CC_OP, DF_STEP, DS, EFLAGS, ES, EXIT_REQUEST, RAX, RCX, RDI, RDX, RSI, TR } from './layout.ts';
import { MMIO_ADDRESS, Testbed } from './testbed.cases.ts';

let bed: Testbed;
beforeEach(() => {
  bed = new Testbed();
  bed.protectedMode();
});

/** info word: element size, address size in bytes. */
function info(size: number, address = 4, more = 0): bigint {
  return BigInt(size | (address << 4) | (DS << 8) | more);
}
function registers(rcx: number | bigint, rsi: number | bigint, rdi: number | bigint, df = 1): void {
  bed.set(RCX, rcx);
  bed.set(RSI, rsi);
  bed.set(RDI, rdi);
  bed.set(DF_STEP, df);
}
function state(): string {
  return [RCX, RSI, RDI].map((r) => bed.get(r).toString(16)).join(' ');
}

it('copies over many pages', () => {
  for (let i = 0; i < 0x5000; i++) bed.w8(0x10_0123 + i, (i * 7) & 0xff);
  registers(0x1400, 0x10_0123, 0x20_0f01);
  assert.equal(bed.call('rep_movs', info(4)), 1n);
  assert.equal(state(), '0 105123 205f01');
  for (let i = 0; i < 0x5000; i++) if (bed.p8(0x20_0f01 + i) !== ((i * 7) & 0xff)) assert.fail(`byte ${i}`);
});

it('repeats overlapping bytes and copies downwards', () => {
  bed.w32(0x10_0000, 0x0403_0201);
  registers(10, 0x10_0000, 0x10_0003);
  bed.call('rep_movs', info(1));
  assert.deepEqual(
    [...Array(13).keys()].map((i) => bed.p8(0x10_0000 + i)),
    [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1],
  );
  for (let i = 0; i < 8; i++) bed.w8(0x10_0000 + i, i);
  registers(8, 0x10_0007, 0x10_0009, -1);
  bed.call('rep_movs', info(1));
  assert.equal(state(), '0 fffff 100001');
  assert.deepEqual(
    [...Array(8).keys()].map((i) => bed.p8(0x10_0002 + i)),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
});

it('fills with bytes and patterns', () => {
  registers(0x900, 0, 0x10_0ff0);
  bed.set(RAX, 0x11_2233_4455_6677n);
  bed.call('rep_stos', info(8));
  assert.equal(bed.p64(0x10_0ff0 + 8 * 0x8ff), 0x11_2233_4455_6677n);
  assert.equal(bed.p64(0x10_0ff0 + 8 * 0x900), 0n);
  bed.set(RAX, 0);
  registers(0x1000, 0, 0x10_0ff0);
  bed.call('rep_stos', info(4));
  assert.equal(bed.p64(0x10_0ff0 + 0x3ff8), 0n);
  assert.equal(bed.p64(0x10_0ff0 + 0x4000), 0x11_2233_4455_6677n);
});

it('compares and scans with the flags of the last pair', () => {
  for (let i = 0; i < 0x2000; i++) {
    bed.w8(0x10_0000 + i, 0x61);
    bed.w8(0x20_0000 + i, 0x61);
  }
  bed.w8(0x20_1800, 0x62);
  registers(0x2000, 0x10_0000, 0x20_0000);
  assert.equal(bed.call('rep_cmps', info(1)), 1n);
  assert.equal(state(), '7ff 101801 201801');
  assert.equal(bed.get(CC_OP), 12n);
  assert.equal(bed.call('cc_all') & 0xc1n, 0x81n);
  bed.set(RAX, 0x62);
  registers(0xffff_ffffn, 0, 0x20_0000);
  bed.call('rep_scas', info(1, 4, 0x1000));
  assert.equal(bed.get(RCX), 0xffff_ffffn - 0x1801n);
  assert.equal(bed.call('cc_all') & 0x40n, 0x40n);
  registers(3, 0x10_0000, 0);
  bed.call('rep_lods', info(2));
  assert.equal(bed.get(RAX) & 0xffffn, 0x6161n);
});

it('stops for an exit request and for a fault with registers up to date', () => {
  bed.set(EXIT_REQUEST, 1);
  registers(0x2000, 0x10_0000, 0x20_0000);
  assert.equal(bed.call('rep_movs', info(1)), 0n);
  assert.equal(bed.get(RCX), 0x1000n);
  bed.set(EXIT_REQUEST, 0);
  bed.setSegment(ES, 0x10, 0, 0x20_17ff, 0x4093);
  bed.call('update_hflags');
  registers(0x2000, 0x10_0000, 0x20_0000);
  bed.call('rep_movs', info(1));
  assert.equal(bed.fault(), '13:0');
  assert.equal(bed.get(RDI), 0x20_1800n);
});

it('wraps 16-bit offsets', () => {
  bed.setSegment(ES, 0x10, 0x10_0000, 0xffff, 0x93);
  bed.call('update_hflags');
  registers(0x4_0004n, 0, 0x5_fffen);
  bed.set(RAX, 0xab);
  bed.call('rep_stos', info(1, 2));
  assert.equal(bed.get(RDI), 0x5_0002n);
  assert.equal(bed.get(RCX), 0x4_0000n);
  assert.deepEqual(
    [bed.p8(0x10_fffe), bed.p8(0x10_ffff), bed.p8(0x10_0000), bed.p8(0x10_0001), bed.p8(0x11_0000)],
    [0xab, 0xab, 0xab, 0xab, 0],
  );
});

it('takes MMIO one element at a time and respects translated code', () => {
  bed.mmioValue = 0x77;
  registers(3, MMIO_ADDRESS, 0x10_0000);
  bed.call('rep_movs', info(2));
  assert.equal(bed.calls.length, 3);
  assert.equal(bed.p32(0x10_0000), 0x77_0077);
  const page = (RAM_BASE + 0x20_0000) >>> 12;
  bed.bytes[PAGE_FLAGS + page] = PAGE_CODE;
  bed.view.setBigUint64(CODE_MASK + page * 8, 1n, true);
  registers(0x400, 0x10_0000, 0x20_0000);
  bed.call('rep_movs', info(4));
  assert.equal(bed.fault(), 'fault 2');
  assert.equal(bed.get(RCX), 0x400n);
});

it('reads and writes ports with permission', () => {
  bed.portValue = 0x1234;
  bed.set(RDX, 0x1f0);
  registers(4, 0, 0x10_0000);
  assert.equal(bed.call('io_ins', info(2, 4, 0x2000)), 1n);
  assert.equal(bed.p64(0x10_0000), 0x1234_1234_1234_1234n);
  registers(2, 0x10_0000, 0);
  bed.call('io_outs', info(1, 4, 0x2000));
  assert.deepEqual(bed.calls.slice(-2), [
    ['pio_write', 0x1f0, 1, 0x34],
    ['pio_write', 0x1f0, 1, 0x12],
  ]);
  bed.setSegment(TR, 0x28, 0, 0x66, 0x8b);
  bed.protectedMode(3);
  bed.call('io_in', 0x1f0n, 1n);
  assert.equal(bed.fault(), '13:0');
  bed.set(EFLAGS, 0x3000);
  bed.call('update_hflags');
  assert.equal(bed.call('io_in', 0x1f0n, 1n), 0x34n);
});
