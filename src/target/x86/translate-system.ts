import { OP } from '../../ir/ops.ts';
import {
  CR0,
  CS,
  DF_STEP,
  DS,
  EFLAGS,
  ES,
  FS,
  GDT_BASE,
  GDT_LIMIT,
  GS,
  HF_IOPL_SHIFT,
  HF_UMIP,
  IDT_BASE,
  IDT_LIMIT,
  LDTR,
  RAX,
  RCX,
  RDX,
  SEG_BASE,
  SEG_SELECTOR,
  SS,
  TR,
  TSC_AUX,
} from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { K_I } from './operand-codes.ts';
import { loadOp, READ, segSlot, storeOp, WRITE } from './operands.ts';
import { pair, setZeroFlag } from './translate-alu.ts';
import { endSegmentLoad, loadSegment } from './translate-stack.ts';
import type { Translator } from './translator.ts';

const FLAG_IF = 0x200;
const FLAG_DF = 0x400;

// ---- flags

function cli(t: Translator): void {
  if (t.cpl <= ((t.flags >> HF_IOPL_SHIFT) & 3)) t.ir.imm(OP.and_i64_imm, EFLAGS, EFLAGS, ~FLAG_IF);
  else t.call(HELPER.cli);
}

function sti(t: Translator): void {
  t.call(HELPER.sti);
  t.endState();
}

function setDirection(t: Translator, down: boolean): void {
  if (down) t.ir.imm(OP.or_i64_imm, EFLAGS, EFLAGS, FLAG_DF);
  else t.ir.imm(OP.and_i64_imm, EFLAGS, EFLAGS, ~FLAG_DF);
  t.ir.movi(DF_STEP, down ? -1 : 1);
}

function cmc(t: Translator): void {
  const c = t.temp();
  t.ir.imm(OP.xor_i32_imm, c, t.carry(), 1);
  t.flagsSetCarry(c);
}

/** AH = SF ZF 0 AF 0 PF 1 CF. */
function lahf(t: Translator): void {
  const f = t.temp();
  t.ir.imm(OP.or_i32_imm, f, t.allFlags(), 2);
  const d = t.gprDst(0);
  t.ir.op(OP.dep8h, d, d, f);
}

function sahf(t: Translator): void {
  const { ir } = t;
  const f = t.temp();
  ir.imm(OP.and_i32_imm, f, t.allFlags(), 0x800);
  const ah = t.temp();
  ir.op(OP.ext8hu, ah, RAX);
  ir.imm(OP.and_i32_imm, ah, ah, 0xd5);
  ir.op(OP.or_i32, f, f, ah);
  t.flagsValue(f);
}

function salc(t: Translator): void {
  const r = t.temp();
  t.ir.op(OP.neg_i32, r, t.carry());
  t.writeReg(0, 1, r);
}

// ---- segment registers

function movFromSeg(t: Translator): void {
  const n = t.reg & 7;
  if (n > GS) return t.raiseUd();
  t.storeZ(0, segSlot(n, SEG_SELECTOR));
}

function movToSeg(t: Translator): void {
  const n = t.reg & 7;
  if (n > GS || n === CS) return t.raiseUd();
  loadSegment(t, n, t.loadZ(1), true);
  endSegmentLoad(t, n);
}

/** LES LDS LSS LFS LGS: offset first, then selector. */
function loadFarPointer(t: Translator): void {
  const size = t.opSize;
  const segment =
    t.map === 0 ? (t.opcode === 0xc4 ? ES : DS) : t.opcode === 0xb2 ? SS : t.opcode === 0xb4 ? FS : GS;
  t.ea(size + 2, READ);
  const offset = t.temp();
  const selector = t.temp();
  t.ld(loadOp(size), offset);
  t.ld(OP.ld16u, selector, size);
  loadSegment(t, segment, selector, false);
  t.writeRegZ(t.reg, size, offset);
  endSegmentLoad(t, segment);
}

function arpl(t: Translator): void {
  if (t.needProtected()) return;
  const { ir } = t;
  const offset = t.isMem ? t.temp() : -1;
  if (t.isMem) t.offset(offset);
  const d = t.isMem ? arplOperand(t, offset) : t.loadZ(0);
  const want = t.temp();
  ir.imm(OP.and_i32_imm, want, t.load(1), 3);
  const have = t.temp();
  ir.imm(OP.and_i32_imm, have, d, 3);
  const lower = t.temp();
  ir.op(OP.ltu_i32, lower, have, want);
  const raised = t.temp();
  ir.imm(OP.and_i32_imm, raised, d, ~3);
  ir.op(OP.or_i32, raised, raised, want);
  if (t.isMem) {
    const value = t.temp();
    ir.imm(OP.shl_i32_imm, value, lower, 16);
    ir.op(OP.or_i32, value, value, raised);
    t.call(HELPER.arpl_store, undefined, offset, t.constant(t.segment()), value);
  } else {
    ir.op4(OP.select, raised, lower, raised, d);
    t.store(0, raised);
  }
  setZeroFlag(t, lower);
}

/** Memory is read, and written only when the RPL changes (SDM Vol. 2A ARPL): a read-only segment does not always fault. */
function arplOperand(t: Translator, offset: number): number {
  t.linear(offset, t.segment(), 2, READ);
  const d = t.temp();
  t.ld(OP.ld16u, d);
  return d;
}

function bound(t: Translator): void {
  const size = t.opSize;
  const index = t.sext(t.load(0), size);
  t.ea(size * 2, READ);
  const low = t.temp();
  const high = t.temp();
  const op = size === 2 ? OP.ld16s : OP.ld32s;
  t.ld(op, low);
  t.ld(op, high, size);
  t.call(HELPER.bound, undefined, index, low, high);
}

// ---- descriptor tables and selectors

/** SGDT, SIDT, SLDT, STR, SMSW are privileged under UMIP. */
function blockedByUmip(t: Translator): boolean {
  if ((t.flags & HF_UMIP) === 0) return false;
  return t.needCpl0();
}

function storeTable(t: Translator): void {
  if (blockedByUmip(t)) return;
  const isIdt = (t.reg & 7) === 1;
  t.ea(t.code64 ? 10 : 6, WRITE);
  t.st(OP.st16, isIdt ? IDT_LIMIT : GDT_LIMIT);
  t.st(storeOp(t.code64 ? 8 : 4), isIdt ? IDT_BASE : GDT_BASE, 2);
}

function loadTable(t: Translator): void {
  if (t.needCpl0()) return;
  const isIdt = (t.reg & 7) === 3;
  const limit = t.temp();
  const base = t.temp();
  t.ea(t.code64 ? 10 : 6, READ);
  t.ld(OP.ld16u, limit);
  t.ld(loadOp(t.code64 ? 8 : 4), base, 2);
  if (t.code64) t.call(HELPER.table_base_check, undefined, base);
  else if (t.opSize === 2) t.ir.imm(OP.and_i32_imm, base, base, 0xffffff);
  t.ir.op(OP.mov, isIdt ? IDT_LIMIT : GDT_LIMIT, limit);
  t.ir.op(OP.mov, isIdt ? IDT_BASE : GDT_BASE, base);
}

function storeSelector(t: Translator, segment: number): void {
  if (t.needProtected() || blockedByUmip(t)) return;
  t.storeZ(0, segSlot(segment, SEG_SELECTOR));
}

function loadSystemSelector(t: Translator, helper: number): void {
  if (t.needProtected() || t.needCpl0()) return;
  t.call(helper, undefined, t.loadZ(0));
}

function smsw(t: Translator): void {
  if (blockedByUmip(t)) return;
  t.store(0, CR0);
}

function lmsw(t: Translator): void {
  if (t.needCpl0()) return;
  t.call(HELPER.lmsw, undefined, t.loadZ(0));
  t.endState();
}

/** LAR, LSL: bit 32 of the helper's result is ZF. */
function inspect(t: Translator, helper: number): void {
  if (t.needProtected()) return;
  const { ir } = t;
  const r = t.callValue(helper, t.zext(t.load(1), 2));
  const ok = t.temp();
  ir.imm(OP.shr_i64_imm, ok, r, 32);
  setZeroFlag(t, ok);
  const v = t.zext(r, 4);
  if (t.opSize >= 4) return ir.op4(OP.select, t.gprDst(t.reg), ok, v, t.reg << 3);
  const d = t.temp();
  ir.op4(OP.select, d, ok, v, t.load(0));
  t.store(0, d);
}

function verify(t: Translator, helper: number): void {
  if (t.needProtected()) return;
  setZeroFlag(t, t.callValue(helper, t.loadZ(0)));
}

// ---- control and debug registers

/** A register that does not exist is #UD at every privilege level. */
function movFromCr(t: Translator): void {
  if (((0x11d >> t.reg) & 1) === 0) return t.raiseUd();
  if (t.needCpl0()) return;
  t.writeReg(t.rm, t.code64 ? 8 : 4, t.callValue(HELPER.read_cr, t.constant(t.reg)));
}

function movToCr(t: Translator): void {
  if (((0x11d >> t.reg) & 1) === 0) return t.raiseUd();
  if (t.needCpl0()) return;
  const v = t.zext(t.rm << 3, t.code64 ? 8 : 4);
  t.call(HELPER.write_cr, undefined, t.constant(t.reg), v);
  t.endState();
}

function movFromDr(t: Translator): void {
  if (t.reg > 7) return t.raiseUd();
  if (t.needCpl0()) return;
  t.writeReg(t.rm, t.code64 ? 8 : 4, t.callValue(HELPER.read_dr, t.constant(t.reg)));
}

function movToDr(t: Translator): void {
  if (t.reg > 7) return t.raiseUd();
  if (t.needCpl0()) return;
  const v = t.zext(t.rm << 3, t.code64 ? 8 : 4);
  t.call(HELPER.write_dr, undefined, t.constant(t.reg), v);
  t.endState();
}

function clts(t: Translator): void {
  if (t.needCpl0()) return;
  t.call(HELPER.clts);
  t.endState();
}

// ---- MSRs, counters, identification

/** EDX:EAX = value, both zero-extended. */
/** 64 bits to EDX:EAX. */
export function splitToDxAx(t: Translator, value: number): void {
  t.ir.op(OP.ext32u, t.gprDst(0), value);
  t.ir.imm(OP.shr_i64_imm, t.gprDst(2), value, 32);
}

function rdtsc(t: Translator): void {
  splitToDxAx(t, t.callValue(HELPER.rdtsc));
}

function rdtscp(t: Translator): void {
  rdtsc(t);
  t.ir.op(OP.ext32u, t.gprDst(1), TSC_AUX);
}

function rdpmc(t: Translator): void {
  splitToDxAx(t, t.callValue(HELPER.rdpmc, t.zext(RCX, 4)));
}

function rdmsr(t: Translator): void {
  if (t.needCpl0()) return;
  splitToDxAx(t, t.callValue(HELPER.rdmsr, t.zext(RCX, 4)));
}

function wrmsr(t: Translator): void {
  if (t.needCpl0()) return;
  t.call(HELPER.wrmsr, undefined, t.zext(RCX, 4), pair(t, RDX, RAX));
  t.endState();
}

function cpuid(t: Translator): void {
  t.call(HELPER.cpuid);
}

function rdpkru(t: Translator): void {
  splitToDxAx(t, t.callValue(HELPER.rdpkru, t.zext(RCX, 4)));
}

function wrpkru(t: Translator): void {
  t.call(HELPER.wrpkru, undefined, t.zext(RCX, 4), pair(t, RDX, RAX));
  t.endState();
}

/** Zeroes the cache line of 64 bytes at rAX (AMD64 APM Vol. 3 CLZERO). */
function clzero(t: Translator): void {
  const line = t.temp();
  t.ir.imm(OP.and_i64_imm, line, t.zext(RAX, t.addrSize), -64);
  t.linear(line, t.segOverride >= 0 ? t.segOverride : DS, 64, WRITE);
  const zero = t.constant(0);
  for (let i = 0; i < 64; i += 8) t.st(OP.st64, zero, i);
}

function random(t: Translator, helper: number): void {
  const r = t.callValue(helper, t.constant(t.opSize));
  t.store(0, r);
  t.flagsValue(t.constant(1));
}

function rdpid(t: Translator): void {
  t.ir.op(OP.mov, t.gprDst(t.rm), TSC_AUX);
}

// ---- system calls

function sysret(t: Translator): void {
  t.call(HELPER.sysret, undefined, t.constant(t.opSize === 8 ? 8 : 4));
  t.endRipStored(false);
}

function sysexit(t: Translator): void {
  t.call(HELPER.sysexit, undefined, t.constant(t.opSize === 8 ? 8 : 4));
  t.endRipStored();
}

function hlt(t: Translator): void {
  if (t.needCpl0()) return;
  t.call(HELPER.hlt, undefined, t.nextRip());
  t.endFault();
}

function rsm(t: Translator): void {
  t.call(HELPER.rsm);
  t.endRipStored(false);
}

function swapgs(t: Translator): void {
  if (t.needCpl0()) return;
  t.call(HELPER.swapgs);
}

/** RDFSBASE, RDGSBASE; bit 0 of reg tells which. */
function rdbase(t: Translator): void {
  t.call(HELPER.fsgsbase_check);
  t.writeReg(t.rm, t.opSize === 8 ? 8 : 4, segSlot(t.reg & 1 ? GS : FS, SEG_BASE));
}

function wrbase(t: Translator): void {
  const v = t.zext(t.rm << 3, t.opSize === 8 ? 8 : 4);
  t.call(HELPER.wrbase_check, undefined, v);
  t.ir.op(OP.mov, segSlot(t.reg & 1 ? GS : FS, SEG_BASE), v);
}

function setAc(t: Translator, on: number): void {
  if (t.cpl !== 0) return t.raiseUd();
  t.call(HELPER.stac_clac, undefined, t.constant(on));
  t.endState();
}

// ---- paging, caches

function invlpg(t: Translator): void {
  if (t.needCpl0()) return;
  t.ea(1, READ);
  t.call(HELPER.invlpg, undefined, t.eaValue());
  t.endState();
}

function invpcid(t: Translator): void {
  if (t.needCpl0()) return;
  t.ea(16, READ);
  const low = t.temp();
  const high = t.temp();
  t.ld(OP.ld64, low);
  t.ld(OP.ld64, high, 8);
  t.call(HELPER.invpcid, undefined, t.zext(t.load(0), t.code64 ? 8 : 4), low, high);
  t.endState();
}

/** The operand must be readable; there is no cache to flush. */
function clflush(t: Translator): void {
  t.ea(1, READ);
  t.ld(OP.ld8u, t.temp());
}

function wbinvd(t: Translator): void {
  if (t.needCpl0()) return;
  t.call(HELPER.wbinvd);
}

function monitor(t: Translator): void {
  if (t.cpl !== 0) return t.raiseUd();
  const offset = t.zext(RAX, t.addrSize);
  t.call(HELPER.monitor, undefined, t.linearSlot(offset, t.segOverride >= 0 ? t.segOverride : DS, 1, READ));
}

function mwait(t: Translator): void {
  if (t.cpl !== 0) return t.raiseUd();
  t.call(HELPER.mwait, undefined, t.nextRip(), t.zext(RCX, 4));
  t.endFault();
}

// ---- ports

function port(t: Translator, n: number): number {
  return t.operandKind(n) === K_I ? t.constant(t.immLo & 0xff) : t.zext(RDX, 2);
}

function input(t: Translator): void {
  const size = t.size(0);
  const r = t.callValue(HELPER.io_in, port(t, 1), t.constant(size));
  t.writeReg(0, size, r);
}

function output(t: Translator): void {
  const size = t.size(1);
  t.call(HELPER.io_out, undefined, port(t, 0), t.zext(RAX, size), t.constant(size));
  // An SMI or interrupt that the write causes comes before the next instruction.
  t.endState();
}

function decimal(t: Translator, helper: number): void {
  t.call(helper);
}

/** System, I/O and flag instructions (SDM Vol. 1 5.1.8–5.1.12, 5.20). */
export const systemHandlers = {
  cli,
  sti,
  cmc,
  lahf,
  sahf,
  salc,
  movFromSeg,
  movToSeg,
  loadFarPointer,
  arpl,
  bound,
  storeTable,
  loadTable,
  smsw,
  lmsw,
  movFromCr,
  movToCr,
  movFromDr,
  movToDr,
  clts,
  cpuid,
  rdtsc,
  rdtscp,
  rdpmc,
  rdmsr,
  wrmsr,
  rdpid,
  rdpkru,
  wrpkru,
  clzero,
  sysret,
  sysexit,
  hlt,
  rsm,
  swapgs,
  rdbase,
  wrbase,
  invlpg,
  invpcid,
  clflush,
  wbinvd,
  monitor,
  mwait,
  clc: (t: Translator) => t.flagsSetCarry(t.constant(0)),
  stc: (t: Translator) => t.flagsSetCarry(t.constant(1)),
  cld: (t: Translator) => setDirection(t, false),
  std: (t: Translator) => setDirection(t, true),
  sldt: (t: Translator) => storeSelector(t, LDTR),
  str: (t: Translator) => storeSelector(t, TR),
  lldt: (t: Translator) => loadSystemSelector(t, HELPER.lldt),
  ltr: (t: Translator) => loadSystemSelector(t, HELPER.ltr),
  lar: (t: Translator) => inspect(t, HELPER.lar),
  lsl: (t: Translator) => inspect(t, HELPER.lsl),
  verr: (t: Translator) => verify(t, HELPER.verr),
  verw: (t: Translator) => verify(t, HELPER.verw),
  rdrand: (t: Translator) => random(t, HELPER.rdrand),
  rdseed: (t: Translator) => random(t, HELPER.rdseed),
  syscall: (t: Translator) => {
    t.call(HELPER.syscall, undefined, t.nextRip());
    t.endRipStored(false);
  },
  sysenter: (t: Translator) => {
    t.call(HELPER.sysenter);
    t.endRipStored(false);
  },
  stac: (t: Translator) => setAc(t, 1),
  clac: (t: Translator) => setAc(t, 0),
  in: input,
  out: output,
  daa: (t: Translator) => decimal(t, HELPER.daa),
  das: (t: Translator) => decimal(t, HELPER.das),
  aaa: (t: Translator) => decimal(t, HELPER.aaa),
  aas: (t: Translator) => decimal(t, HELPER.aas),
  aam: (t: Translator) => t.call(HELPER.aam, undefined, t.constant(t.immLo & 0xff)),
  aad: (t: Translator) => t.call(HELPER.aad, undefined, t.constant(t.immLo & 0xff)),
};
