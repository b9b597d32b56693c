import type { HelperTable } from '../../ir/helper-table.ts';

/**
 * Runtime helpers of the system instructions; the rules at the head of ./helpers-integer.ts apply.
 *
 * Privilege: "CPL 0 checked" means the helper raises #GP(0) itself; otherwise the front end has already emitted the check.
 * After helpers that may change KEY, the mapping or the interrupt state the block ends: the front end stores RIP = next
 * instruction (unless the helper stores RIP) and leaves by `goto_ind`.
 * `length` = instruction length in bytes; next RIP = RIP slot + length, truncated to the code's width by the helper.
 * `opsize` = operand size in bytes 2, 4, 8.
 */
export const systemHelpers = {
  // ---- exceptions raised by the front end
  raise_ud: { args: 0, faults: true, doc: '#UD' },
  raise_nm: { args: 0, faults: true, doc: '#NM' },
  raise_gp: { args: 1, faults: true, doc: '(error): #GP(error)' },
  raise_ss: { args: 1, faults: true, doc: '(error): #SS(error)' },
  raise_de: { args: 0, faults: true, doc: '#DE' },
  raise_mf: { args: 0, faults: true, doc: '#MF' },

  // ---- software interrupts: always end the block, always set FAULT unless noted
  int_n: {
    args: 2,
    reads: true,
    faults: true,
    doc: '(vector, next RIP): INT n. Records EXC_SOFTWARE and EXC_NEXT_RIP; in virtual-8086 mode applies IOPL and VME redirection first (#GP(0))',
  },
  int3: {
    args: 1,
    reads: true,
    faults: true,
    doc: '(next RIP): INT3: #BP as a software exception, no IOPL check in virtual-8086 mode',
  },
  int1: { args: 1, reads: true, faults: true, doc: '(next RIP): INT1 (ICEBP): #DB, no privilege check' },
  into: {
    args: 1,
    reads: true,
    faults: true,
    doc: '(next RIP): INTO: #OF as a software exception if OF is set, else nothing (FAULT stays 0)',
  },

  // ---- segmentation checks outside flat mode
  seg_read: {
    args: 2,
    result: true,
    faults: true,
    doc: '(offset, segment | size << 8): linear address (base + offset mod 2^32) of a read of size bytes at the already truncated offset; #GP(0), for SS #SS(0): null or unreadable segment, limit (expand-down too). Real and virtual-8086 mode: limit only. The access itself may be up to 512 bytes (size 0 = 512)',
  },
  seg_write: { args: 2, result: true, faults: true, doc: 'as seg_read, and the segment must be writable' },
  seg_load: {
    args: 2,
    reads: true,
    writes: true,
    faults: true,
    doc: '(segment ES, SS, DS, FS or GS, selector): loads a data segment register by the rules of the current mode (SDM Vol. 2B MOV); updates KEY. No interrupt shadow',
  },
  seg_load_shadow: {
    args: 1,
    reads: true,
    writes: true,
    faults: true,
    doc: '(selector): as seg_load of SS, then SHADOW = 2 and HF_SHADOW in KEY (MOV SS, POP SS)',
  },

  // ---- far control transfers: store RIP, CS, KEY …
  jmp_far: {
    args: 3,
    reads: true,
    writes: true,
    faults: true,
    doc: '(selector, offset, opsize | length << 8): JMP far; call gates, TSS and task gates too (a task switch saves next RIP)',
  },
  call_far: {
    args: 3,
    reads: true,
    writes: true,
    faults: true,
    doc: '(selector, offset, opsize | length << 8): CALL far; gates, TSS; pushes CS and next RIP with the operand (or gate) size',
  },
  ret_far: { args: 2, reads: true, writes: true, faults: true, doc: '(opsize, bytes to release): RETF' },
  iret: {
    args: 2,
    reads: true,
    writes: true,
    faults: true,
    doc: '(opsize, length): IRET/IRETD/IRETQ in every mode (task return, return to virtual-8086 mode, VME); ends NMI blocking',
  },
  check_branch: {
    args: 1,
    faults: true,
    doc: '(target RIP, already truncated): #GP(0) if it is not canonical (64-bit code) or beyond the CS limit. Called for near indirect branches in 64-bit mode and whenever HF_CS_FLAT is clear',
  },

  // ---- flags register
  pushf_value: {
    args: 1,
    result: true,
    reads: true,
    faults: true,
    doc: '(opsize): the image PUSHF pushes (RFLAGS with VM and RF clear; arithmetic flags merged). Virtual-8086 mode with IOPL < 3: #GP(0), or the VIF image with VME and opsize 2',
  },
  popf: {
    args: 2,
    reads: true,
    writes: true,
    faults: true,
    doc: '(value, opsize): POPF by CPL, IOPL and mode: sets EFLAGS, DF_STEP, the six flags (CC_OP = CC_EFLAGS), KEY (TF, AC, IOPL, RF); EXIT_REQUEST if an interrupt became deliverable. #GP(0) in virtual-8086 mode by IOPL/VME',
  },
  cli: {
    args: 0,
    reads: true,
    faults: true,
    doc: 'CLI where it is not a plain clear of IF (CPL > IOPL): PVI/VME or #GP(0)',
  },
  sti: {
    args: 0,
    reads: true,
    faults: true,
    doc: 'STI: sets IF; if it was clear SHADOW = 1 and HF_SHADOW in KEY; EXIT_REQUEST if an interrupt is pending. PVI/VME or #GP(0) when CPL > IOPL. The block ends after it',
  },
  stac_clac: {
    args: 1,
    reads: true,
    faults: true,
    doc: '(1 = STAC, 0 = CLAC): sets or clears AC and updates KEY (MMU index); CPL 0 already checked; #UD unless CPUID offers SMAP',
  },

  // ---- end of a one-instruction block
  end_of_insn: {
    args: 2,
    reads: true,
    faults: true,
    doc: '(next RIP, HFLAGS the block was translated for): stores RIP = next RIP, clears HF_ONE_INSN, and the interrupt shadow and RF (state and KEY) as far as those HFLAGS had them; then with HF_TF, or if DR_PENDING is non-zero, raises #DB as a trap (DR6.BS; the saved RIP is next RIP)',
  },
  check_code_breakpoint: {
    args: 0,
    reads: true,
    faults: true,
    doc: 'at the start of a block with HF_DR7 and without HF_RF: #DB (fault) if an enabled instruction breakpoint matches CS base + RIP',
  },

  // ---- system calls and returns
  syscall: {
    args: 1,
    reads: true,
    writes: true,
    faults: true,
    doc: '(next RIP): SYSCALL; #UD if EFER.SCE is clear or not in protected mode',
  },
  sysret: {
    args: 1,
    reads: true,
    writes: true,
    faults: true,
    doc: '(opsize 4 or 8): SYSRET; #UD if EFER.SCE is clear, #GP(0) if CPL is not 0',
  },
  sysenter: {
    args: 0,
    reads: true,
    writes: true,
    faults: true,
    doc: 'SYSENTER; #GP(0) in real mode or if SYSENTER_CS is null',
  },
  sysexit: {
    args: 1,
    reads: true,
    writes: true,
    faults: true,
    doc: '(opsize 4 or 8): SYSEXIT; CPL 0 checked',
  },
  rsm: {
    args: 0,
    reads: true,
    writes: true,
    faults: true,
    doc: 'RSM: loads the state saved by the SMI and leaves system management mode; #UD outside it, shutdown if the state cannot be',
  },
  hlt: {
    args: 1,
    reads: true,
    faults: true,
    doc: '(next RIP): CPL 0 already checked. Stores RIP, HALTED = 1, EXIT_REASON = EXIT_HALT, FAULT = FAULT_HOST; clears HF_ONE_INSN, the shadow and RF',
  },
  hypercall: { args: 0, reads: true, writes: true, doc: 'VMCALL, VMMCALL: RAX is the call, then the answer' },
  pause: {
    args: 1,
    reads: true,
    faults: true,
    doc: '(next RIP): stores RIP, EXIT_REASON = EXIT_YIELD, FAULT = FAULT_HOST: another vCPU may have its turn',
  },
  swapgs: {
    args: 0,
    doc: 'exchanges the GS base with KERNEL_GS_BASE; CPL 0 and 64-bit mode already checked',
  },

  // ---- identification, time, MSRs
  cpuid: {
    args: 0,
    reads: true,
    writes: true,
    doc: 'CPUID: EAX, ECX in; EAX EBX ECX EDX out, zero-extended',
  },
  rdtsc: { args: 0, result: true, faults: true, doc: 'the time-stamp counter; #GP(0) by CR4.TSD and CPL' },
  rdpmc: {
    args: 1,
    result: true,
    faults: true,
    doc: '(ECX): performance counter; #GP(0) by CR4.PCE and CPL or for a counter that is not there',
  },
  rdmsr: {
    args: 1,
    result: true,
    faults: true,
    doc: '(ECX): the MSR as 64 bits; CPL 0 already checked; #GP(0) for an unknown one',
  },
  wrmsr: {
    args: 2,
    reads: true,
    writes: true,
    faults: true,
    doc: '(ECX, value 64 bits): CPL 0 already checked; #GP(0). The block ends',
  },
  xgetbv: {
    args: 2,
    result: true,
    faults: true,
    doc: '(ECX, index 1 is offered): XCR0 or the components in use; #GP(0) for another register',
  },
  xsetbv: {
    args: 2,
    reads: true,
    faults: true,
    doc: '(ECX, value): CPL 0 already checked; #GP(0). The block ends',
  },
  xsave: {
    args: 3,
    faults: true,
    doc: '(address, EDX:EAX, 0 XSAVE, 1 XSAVEOPT, 2 XSAVEC, 6 XSAVES | REX.W << 8): #GP(0)',
  },
  xrstor: { args: 3, faults: true, doc: '(address, EDX:EAX, 0 XRSTOR, 4 XRSTORS | REX.W << 8): #GP(0)' },

  rdpkru: {
    args: 1,
    result: true,
    faults: true,
    doc: '(ECX): PKRU; #UD without CR4.PKE, #GP(0) unless ECX is 0',
  },
  wrpkru: {
    args: 2,
    reads: true,
    faults: true,
    doc: '(ECX, EDX:EAX): #UD without CR4.PKE, #GP(0) unless ECX and EDX are 0. The block ends',
  },

  // ---- control and debug registers; CPL 0 already checked
  read_cr: { args: 1, result: true, faults: true, doc: '(n = 0, 2, 3, 4, 8)' },
  write_cr: {
    args: 2,
    reads: true,
    writes: true,
    faults: true,
    doc: '(n, value; zero-extended outside 64-bit mode): all checks (#GP(0)), TLB flushes, KEY, EFER.LMA transitions. The block ends',
  },
  read_dr: {
    args: 1,
    result: true,
    faults: true,
    doc: '(n = 0..7): DR4/5 alias 6/7 or #UD with CR4.DE; #DB if DR7.GD',
  },
  write_dr: {
    args: 2,
    reads: true,
    writes: true,
    faults: true,
    doc: '(n, value): as read_dr; #GP(0) for high bits of DR6/7; updates KEY (HF_DR7). The block ends',
  },
  lmsw: {
    args: 1,
    reads: true,
    faults: true,
    doc: '(value): CR0 bits 3..0 by the rules of LMSW (PE cannot be cleared). The block ends',
  },
  clts: { args: 0, reads: true, doc: 'clears CR0.TS, updates KEY. The block ends' },

  // ---- descriptor tables; CPL 0 already checked where needed
  table_base_check: {
    args: 1,
    faults: true,
    doc: '(base): #GP(0) if a descriptor table may not be there (not canonical)',
  },
  lldt: { args: 1, reads: true, faults: true, doc: '(selector): LLDT' },
  ltr: { args: 1, reads: true, faults: true, doc: '(selector): LTR; marks the descriptor busy' },
  lar: {
    args: 1,
    result: true,
    reads: true,
    faults: true,
    doc: '(selector): 0 if ZF is to be clear, else 1 << 32 | access rights (second doubleword & 0x00ffff00)',
  },
  lsl: {
    args: 1,
    result: true,
    reads: true,
    faults: true,
    doc: '(selector): 0 if ZF is to be clear, else 1 << 32 | byte-granular limit',
  },
  arpl_store: {
    args: 3,
    faults: true,
    doc: '(offset, segment, selector | changed << 16): the memory half of ARPL; checks and writes only when changed is 1',
  },
  verr: { args: 1, result: true, reads: true, faults: true, doc: '(selector): ZF as 0 or 1' },
  verw: { args: 1, result: true, reads: true, faults: true, doc: '(selector): ZF as 0 or 1' },

  // ---- paging
  invlpg: { args: 1, doc: '(linear address): CPL 0 already checked. The block ends' },
  invpcid: {
    args: 3,
    faults: true,
    doc: '(type, descriptor low 64 bits, descriptor high 64 bits = linear address): CPL 0 already checked; #UD unless CPUID offers it; #GP(0). The block ends',
  },

  // ---- FS and GS bases in 64-bit mode
  fsgsbase_check: { args: 0, faults: true, doc: '#UD if CR4.FSGSBASE is clear' },
  wrbase_check: {
    args: 1,
    faults: true,
    doc: '(base): #UD if CR4.FSGSBASE is clear, #GP(0) if base is not canonical',
  },

  // ---- port I/O: permission by CPL, IOPL and the TSS bitmap (#GP(0)), then the host's port access
  io_in: {
    args: 2,
    result: true,
    reads: true,
    faults: true,
    doc: '(port, size 1, 2, 4): value read, zero-extended',
  },
  io_out: { args: 3, reads: true, faults: true, doc: '(port, value, size)' },
  // info as for the repeated string instructions, bit 13 = REP prefix present (else one element, rCX not used); result as there
  io_ins: {
    args: 1,
    result: true,
    reads: true,
    writes: true,
    faults: true,
    doc: '(info): [REP] INS; the memory operand is checked for writing before the port is read',
  },
  io_outs: { args: 1, result: true, reads: true, writes: true, faults: true, doc: '(info): [REP] OUTS' },

  // ---- cache and monitor
  wbinvd: { args: 0, doc: 'WBINVD, INVD: nothing to do; CPL 0 already checked' },
  monitor: { args: 1, faults: true, doc: '(linear address): MONITOR; only when CPUID offers it' },
  mwait: {
    args: 2,
    reads: true,
    faults: true,
    doc: '(next RIP, ECX extensions): MWAIT: as hlt on a machine with one processor, else goes on at once; #GP(0) for unknown extensions; bit 0 of ECX: an interrupt ends it even when masked',
  },
} as const satisfies HelperTable;
