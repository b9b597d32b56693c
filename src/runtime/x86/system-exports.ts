// Everything of the system and integer side that is called from outside the runtime.

export { set_log } from './log';
export { cpu_init, cpu_reset } from './reset';
export { check_code_breakpoint, end_of_insn, read_dr, write_dr } from './debug';
export {
  deliver_fault, deliver_interrupt, deliver_nmi, interrupt_window,
} from './interrupts';
export { deliver_smi, rsm } from './smm';
export { arpl_store, seg_load, seg_load_shadow, seg_read, seg_write } from './segments';
export { cc_all, cc_carry, cc_cond, get_rflags, set_rflags, update_hflags } from './flag-exports';
export { call_far, check_branch, jmp_far, ret_far } from './far';
export { iret } from './iret';
export { sysenter, sysexit, syscall, sysret, swapgs } from './syscall';
export { cpuid, rdtsc } from './cpuid';
export { rdmsr, rdpmc, wrmsr } from './msr';
export {
  int1, int3, int_n, into, raise_de, raise_gp, raise_mf, raise_nm, raise_ss, raise_ud,
} from './software-int';
export { cli, hlt, monitor, mwait, pause, popf, pushf_value, stac_clac, sti } from './eflags-ops';
export {
  clts, fsgsbase_check, invlpg, invpcid, lmsw, read_cr, wbinvd, wrbase_check, write_cr,
} from './control';
export { xgetbv, xrstor, xsave, xsetbv } from './xsave';
export { lar, lldt, lsl, ltr, verr, verw } from './tables';
export { io_in, io_out } from './io';
export { io_ins, io_outs, rep_cmps, rep_lods, rep_movs, rep_scas, rep_stos } from './string';
export {
  aaa, aad, aam, aas, bound, cmpxchg16b, crc32, daa, das, div16, div32, div64, div8, enter, idiv16, idiv32,
  idiv64, idiv8, rcl, rcr, rdrand, rdseed,
} from './integer';
export { rdpkru, table_base_check, wrpkru } from './control';
export { pdep, pext } from './bmi';
export { sha } from './sha';
export { hypercall } from './hypercall';
