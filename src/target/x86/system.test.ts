import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CS,
  DR6,
  DS,
  FEATURES,
  GS,
  PHYS_ADDR_BITS,
  PKRU,
  SEG,
  SEG_BASE,
  SEG_STRIDE,
  SS,
} from '../../runtime/x86/layout.ts';
import { CODE, DATA, SEL, STACK, SystemMachine } from './system-machine.cases.ts';

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

describe('protection keys', () => {
  const PKE = 1n << 22n;
  const PKS = 1n << 24n;
  const PAGE = 0x40_0000;
  /** Key 3 on a page. */
  function keyed(user: boolean): void {
    machine.begin64(user);
    machine.view.setBigUint64(0x3000 + 16, BigInt(0x40_0083 | (user ? 4 : 0)) | (3n << 59n), true);
    machine.refresh();
  }
  const write = `mov rbx, ${PAGE}\nmov [rbx], rax`;
  const read = `mov rbx, ${PAGE}\nmov rax, [rbx]`;

  it('PKRU guards user pages', () => {
    keyed(true);
    assert.equal(machine.execute('rdpkru')?.vector, 6, '#UD without CR4.PKE');
    keyed(true);
    machine.setCr4(PKE);
    machine.cpu.writeSlot(PKRU, 2n << 6n);
    machine.refresh();
    assert.equal(machine.execute(read), undefined);
    keyed(true);
    machine.setCr4(PKE);
    machine.cpu.writeSlot(PKRU, 2n << 6n);
    machine.refresh();
    const caught = machine.execute(write);
    assert.deepEqual([caught?.vector, caught?.error], [14, 0x27]);
    keyed(true);
    machine.setCr4(PKE);
    machine.setReg(1, 0);
    machine.setReg(2, 0);
    const all = `mov eax, 0x40\nwrpkru\nrdpkru\n${read}`;
    const denied = machine.execute(all);
    assert.deepEqual([denied?.vector, denied?.error], [14, 0x25]);
    keyed(true);
    machine.setCr4(PKE);
    machine.setReg(1, 1);
    assert.equal(machine.execute('rdpkru')?.vector, 13);
  });

  it('PKRS guards supervisor pages', () => {
    keyed(false);
    machine.setCr4(PKS);
    machine.setReg(1, 0x6e1);
    machine.setReg(2, 0);
    const caught = machine.execute(`mov eax, 0x80\nwrmsr\nmov ecx, 0x6e1\nrdmsr\n${read}\n${write}`);
    assert.deepEqual([caught?.vector, caught?.error], [14, 0x23]);
    machine.begin64();
    machine.setReg(1, 0x6e1);
    machine.setReg(2, 1);
    assert.equal(machine.execute('wrmsr')?.vector, 13);
  });
});

it('CLZERO clears a line', () => {
  machine.begin64();
  machine.ram.fill(0xee, DATA, DATA + 256);
  machine.setReg(0, DATA + 100);
  assert.equal(machine.execute([0x0f, 0x01, 0xfc]), undefined);
  assert.equal(machine.ram[DATA + 63], 0xee);
  assert.ok(machine.ram.subarray(DATA + 64, DATA + 128).every((byte) => byte === 0));
  assert.equal(machine.ram[DATA + 128], 0xee);
});

it('MWAIT sleeps only where nothing else could wake it', () => {
  machine.begin64();
  machine.cpu.writeSlot(FEATURES, ~0n);
  assert.equal(machine.execute('xor ecx, ecx\nxor edx, edx\nmonitor\nmwait\nmov eax, 77'), undefined);
  assert.equal(machine.reg(0), 77n);
  assert.equal(machine.execute('mov ecx, 2\nmwait')?.vector, 13);
  machine.begin64(true);
  assert.equal(machine.execute('monitor')?.vector, 6);
});

describe('near branches to non-canonical addresses', () => {
  const FAR = 0x8000_0000_0000n;
  for (const [name, code, at] of [
    ['JMP', 'jmp rbx', 0],
    ['CALL', 'call rbx', 0],
    ['RET', 'push rbx\nret 8', 1],
    ['JMP [memory]', `jmp [rcx]`, 0],
  ] as const)
    it(`${name} faults itself and changes nothing`, () => {
      machine.begin64();
      machine.setReg(3, FAR);
      machine.setReg(1, DATA);
      machine.view.setBigUint64(DATA, FAR, true);
      const caught = machine.execute(code);
      assert.deepEqual([caught?.vector, caught?.error, caught?.rip], [13, 0, CODE + at]);
      // RSP of the interrupted program
      const sp = machine.view.getBigUint64(Number(machine.reg(RSP)) + 32, true);
      assert.equal(sp, BigInt(STACK - (name === 'RET' ? 8 : 0)));
    });

  it('a relative branch beyond the lower half', () => {
    machine.begin64();
    // the last page of the lower half is mapped to the code
    machine.view.setBigUint64(0x1000 + 255 * 8, 0x7003n, true);
    machine.view.setBigUint64(0x7000 + 511 * 8, 0x8003n, true);
    machine.view.setBigUint64(0x8000 + 511 * 8, 0x20_0083n, true);
    machine.refresh();
    machine.program('nop', CODE + 0x1f_ff00);
    machine.load(Uint8Array.from([0xe8, 0, 2, 0, 0, 0xf4]), CODE + 0x1f_ff00);
    machine.setReg(3, 0x7fff_ffff_ff00n);
    const caught = machine.execute('jmp rbx');
    assert.deepEqual([caught?.vector, caught?.rip], [13, 0x7fff_ffff_ff00]);
  });
});

describe('alignment checks', () => {
  const AM = 1n << 18n;
  const on = 'pushfq\nor dword [rsp], 0x40000\npopfq\n';
  function run(code: string, user = true, am = true): number | undefined {
    machine.begin64(user);
    if (am) machine.setCr0(AM);
    machine.setReg(3, DATA);
    return machine.execute(on + code)?.vector;
  }

  it('#AC at CPL 3 with CR0.AM and AC', () => {
    assert.equal(run('mov eax, [rbx+2]'), 17);
    assert.equal(run('mov [rbx+4], rax'), 17);
    assert.equal(run('movups xmm0, [rbx+8]'), 17);
    assert.equal(run('push rax\npop rax\nmov rcx, rsp\nlea rsp, [rbx+0x101]\npush rax'), 17);
    assert.equal(run('lea rsi, [rbx+4]\nlea rdi, [rbx+0x100]\nmov ecx, 4\nrep movsq'), 17);
    assert.equal(run('mov ax, [rbx+1]'), 17);
  });

  it('not without them, and not for aligned accesses', () => {
    assert.equal(run('mov eax, [rbx+2]', true, false), undefined);
    assert.equal(run('mov eax, [rbx+2]', false), undefined);
    assert.equal(run('mov eax, [rbx+4]\nmov al, [rbx+3]\nmovups xmm0, [rbx+16]'), undefined);
    assert.equal(run('lea rsi, [rbx+1]\nlea rdi, [rbx+0x103]\nmov ecx, 7\nrep movsb'), undefined);
    assert.equal(run('mov eax, [rbx+2]\nud2', true, false), 6);
  });

  it('come before page faults and carry an error code of zero', () => {
    machine.begin64(true);
    machine.setCr0(AM);
    machine.setReg(3, 0x5000_0001);
    const caught = machine.execute(`${on}mov eax, [rbx]`);
    assert.deepEqual([caught?.vector, caught?.error], [17, 0]);
  });
});

describe('traps, MSRs and bases', () => {
  const TF = 'pushfq\nor dword [rsp], 0x100\npopfq\n';

  it('a single-step trap is pending after HLT', () => {
    machine.begin64();
    const caught = machine.execute(`${TF}nop\nhlt`);
    assert.equal(caught?.vector, 1);
    machine.begin64();
    machine.execute(`${TF}hlt`);
    assert.equal(machine.cpu.readSlot(DR6), 0xffff_4ff0n);
  });

  it('IRET to an outer level keeps the base of a segment that becomes null', () => {
    machine.begin64();
    const gs = SEG + GS * SEG_STRIDE;
    machine.cpu.writeSlot(gs + SEG_BASE, BigInt(DATA));
    machine.view.setBigUint64(DATA, 0x1234n, true);
    for (const at of [0x1000, 0x2000]) machine.view.setUint8(at, 0x07);
    for (let i = 0; i < 512; i++) machine.view.setUint8(0x3000 + i * 8, 0x87);
    machine.refresh();
    const target = CODE + 64;
    const code = `push ${SEL.userData}\npush ${STACK}\npush 2\npush ${SEL.user64}\npush ${target}\niretq`;
    machine.program('mov rax, [gs:0]\nud2', target);
    assert.equal(machine.execute(code)?.vector, 6);
    assert.equal(machine.reg(0), 0x1234n);
    assert.equal(machine.segment(GS, 'selector'), 0);
  });

  it('machine-check, MTRR and base registers take legal values only', () => {
    const write = (index: number, value: bigint): number | undefined => {
      machine.begin64();
      machine.cpu.writeSlot(PHYS_ADDR_BITS, 40n);
      machine.setReg(1, index);
      machine.setReg(0, value & 0xffff_ffffn);
      machine.setReg(2, value >> 32n);
      return machine.execute('wrmsr')?.vector;
    };
    const ones = (1n << 64n) - 1n;
    assert.equal(write(0x400, ones), undefined);
    assert.equal(write(0x400, 0xaaaan), 13);
    assert.equal(write(0x401, 1n), 13);
    assert.equal(write(0x200, 0x8000_0006n), undefined);
    assert.equal(write(0x200, 0x8000_0002n), 13, 'reserved type');
    assert.equal(write(0x201, 0xff_8000_0800n), undefined);
    assert.equal(write(0x201, 1n << 40n), 13, 'beyond MAXPHYADDR');
    assert.equal(write(0x2ff, 0xc06n), undefined);
    assert.equal(write(0x250, 0x0606_0606_0606_0603n), 13);
    assert.equal(write(0xc000_0100, 0xff00_0000_0000_0000n), undefined, '57 bits where LA57 exists');
    assert.equal(write(0xc000_0100, 0x0f00_0000_0000_0000n), 13);
  });

  it('LGDT refuses a base that is not canonical; unknown hypercalls say so', () => {
    machine.begin64();
    machine.view.setUint16(DATA, 0xff, true);
    machine.view.setBigUint64(DATA + 2, 0xaaaa_aaaa_aaaa_aaaan, true);
    machine.setReg(3, DATA);
    assert.equal(machine.execute('lgdt [rbx]')?.vector, 13);
    machine.begin64();
    assert.equal(machine.execute([0x0f, 0x01, 0xd9]), undefined);
    assert.equal(machine.reg(0), 0xffff_ffff_ffff_fc18n);
  });
});

describe('the limit of the code segment', () => {
  /** Runs `code` so that `room` of its bytes lie within the segment. */
  const within = (code: string, room: number, at = CODE): ReturnType<typeof machine.execute> => {
    machine.begin32();
    machine.setSegment(CS, SEL.code32, 0, at + room - 1, 0x409b);
    machine.refresh();
    return machine.execute(code, at);
  };
  const MOV = 'mov eax, 0x12345678';

  it('holds for every byte of an instruction', () => {
    for (let room = 1; room < 5; room++) {
      const caught = within(MOV, room);
      assert.deepEqual([caught?.vector, caught?.error, caught?.rip], [13, 0, CODE], `${room} bytes`);
    }
    assert.equal(within(MOV, 6), undefined);
    assert.equal(machine.reg(0), 0x12345678n);
  });

  it('holds where an instruction crosses a page', () => {
    const at = CODE + 0xffe;
    for (let room = 1; room < 5; room++) assert.equal(within(MOV, room, at)?.vector, 13, `${room} bytes`);
    assert.equal(within(MOV, 6, at), undefined);
  });

  it('is that of the present segment, not of the one that a block was translated under', () => {
    assert.equal(within(MOV, 6), undefined);
    machine.setSegment(CS, SEL.code32, 0, CODE + 2, 0x409b);
    machine.refresh();
    assert.equal(machine.execute(MOV)?.vector, 13);
  });
});
