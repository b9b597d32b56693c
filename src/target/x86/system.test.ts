import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DS, SS } from '../../runtime/x86/layout.ts';
import { CODE, DATA, SEL, SystemMachine } from './system-machine.cases.ts';

const machine = new SystemMachine();
const RSP = 4;
const RBP = 5;

describe('ARPL', () => {
  it('writes memory only when the RPL changes', () => {
    machine.begin32();
    machine.view.setUint16(DATA, 0xfff0, true);
    machine.setReg(3, 2);
    assert.equal(machine.execute(`arpl [0x${DATA.toString(16)}], bx`), undefined);
    assert.equal(machine.view.getUint16(DATA, true), 0xfff2);
    assert.equal(machine.cpu.rflags & 0x40n, 0x40n);
    // a read-only data segment: no fault while nothing is to be written
    machine.setSegment(DS, SEL.data, 0, 0xffff_ffff, 0xc091);
    machine.refresh();
    assert.equal(machine.execute(`arpl [0x${DATA.toString(16)}], bx`), undefined);
    assert.equal(machine.cpu.rflags & 0x40n, 0n);
    machine.setReg(3, 3);
    const caught = machine.execute(`arpl [0x${DATA.toString(16)}], bx`);
    assert.deepEqual([caught?.vector, caught?.error, caught?.rip], [13, 0, CODE]);
  });
});

describe('ENTER', () => {
  it('copies all of ESP to EBP on a 16-bit stack', () => {
    machine.begin32();
    machine.setSegment(SS, SEL.data, 0, 0xffff_ffff, 0x8093);
    machine.refresh();
    machine.setReg(RSP, 0x1_0000);
    machine.setReg(RBP, 0x1_8000);
    assert.equal(machine.execute('enter 16, 2'), undefined);
    assert.equal(machine.reg(RBP), 0x1_fffcn);
    assert.equal(machine.reg(RSP), 0x1_ffe4n);
  });

  it('faults where a write at the new top of the stack would', () => {
    machine.begin64();
    machine.view.setBigUint64(0x3000 + 2 * 8, 0n, true);
    machine.refresh();
    machine.setReg(RSP, 0x60_0800);
    machine.setReg(RBP, 0);
    assert.equal(machine.execute('enter 0x7f8, 0'), undefined);
    machine.setReg(RSP, 0x60_0800);
    const caught = machine.execute('enter 0x7f9, 0');
    assert.deepEqual([caught?.vector, caught?.error, caught?.rip], [14, 2, CODE]);
  });
});
