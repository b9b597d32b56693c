/**
 * Register file of one x86 vCPU in wasm memory: byte offsets from the vCPU's base address (`cpu_base`).
 * Compiled by tsc and by asc: plain integer constants only. Every scalar slot is 8 bytes wide and holds its value zero-extended.
 *
 * Offsets below LOCAL_SLOT_LIMIT may be kept in wasm locals by the region compiler while a region runs; everything above is
 * always up to date in memory. Offsets from TEMP_BASE on are temporaries of one translation block.
 */

// ---- promoted to locals inside a region
export const RAX = 0x00;
export const RCX = 0x08;
export const RDX = 0x10;
export const RBX = 0x18;
export const RSP = 0x20;
export const RBP = 0x28;
export const RSI = 0x30;
export const RDI = 0x38;
export const R8 = 0x40;
export const R15 = 0x78;
/** Lazy flags, see cc-ops in ./cc-layout.ts. */
export const CC_DST = 0x80;
export const CC_SRC = 0x88;
export const CC_SRC2 = 0x90;
export const CC_OP = 0x98;
/** Carry and overflow that replace those of the base kind, see CC_CO_* at the end. */
export const CC_CO = 0xa0;
/** Result of an INC or DEC over flags not known at translation, see CC_STEP at the end. */
export const CC_ID = 0xa8;
export const LOCAL_SLOT_LIMIT = 0x100;

// ---- control words shared by every target (same offsets for all targets; see src/runtime/tcg/layout.ts)
/** RIP (offset in CS, not linear). Valid at block boundaries, in helpers that may fault or read state, and outside `enter`. */
export const RIP = 0x100;
/** Low half: HFLAGS (mode bits of the current code, part of the block key); high half: CS base. One i64 = the block key. */
export const KEY = 0x108;
export const HFLAGS = 0x108;
export const CS_BASE32 = 0x10c;
/** Non-zero: leave translated code at the next poll (set by any thread). Bit 0: look at interrupts. Bit 1: return to the machine loop. */
export const EXIT_REQUEST = 0x110;
/** Non-zero: the current instruction must not complete (FAULT_* in ../tcg/layout.ts). */
export const FAULT = 0x118;
/** Restore word of the faulting instruction: bits 31..16 CC_OP known at translation (0: CC_OP slot is valid). */
export const RESTORE = 0x120;
/** Why `enter` returned (EXIT_* in ../tcg/layout.ts). */
export const EXIT_REASON = 0x128;
export const EXIT_ARG = 0x130;
/** 1 while MXCSR is round-nearest, all masked, no DAZ/FTZ and PE is already set: inline float arithmetic is exact then. */
export const FP_FAST = 0x138;
/** INTERRUPT_* bits: pending hardware events for this vCPU. */
export const INTERRUPT_PENDING = 0x140;
/** 1 after HLT until an interrupt, NMI, SMI, INIT or reset. */
export const HALTED = 0x148;

// ---- x86 flags and segments
/** RFLAGS without the arithmetic flags CF PF AF ZF SF OF (those are lazy), with DF, IF, IOPL, TF, NT, RF, VM, AC, VIF, VIP, ID. */
export const EFLAGS = 0x150;
/** +1 or -1 (as i64), mirrors DF. */
export const DF_STEP = 0x158;
/** Interrupt shadow: 1 = STI, 2 = MOV SS / POP SS. */
export const SHADOW = 0x160;
/**
 * How many more times an end of an interrupt handler or critical section (IRET, STI, POPF) comes until this vCPU's turn ends because
 * another one waits; 0: it goes on.
 */
export const TURN_STEPS = 0x168;

/** Segment registers: ES CS SS DS FS GS LDTR TR, SEG_STRIDE apart: selector, base, limit (byte-granular), attributes. */
export const SEG = 0x200;
export const SEG_STRIDE = 0x20;
export const SEG_SELECTOR = 0x00;
export const SEG_BASE = 0x08;
export const SEG_LIMIT = 0x10;
/** Descriptor bits 8..23 of the second doubleword (type S DPL P … AVL L D G), shifted down by 8; bit 16: 1 = unusable/null. */
export const SEG_ATTR = 0x18;
export const ES = 0;
export const CS = 1;
export const SS = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;
export const LDTR = 6;
export const TR = 7;
export const GDT_BASE = 0x300;
export const GDT_LIMIT = 0x308;
export const IDT_BASE = 0x310;
export const IDT_LIMIT = 0x318;

// ---- control, debug and model-specific registers
export const CR0 = 0x320;
export const CR2 = 0x328;
export const CR3 = 0x330;
export const CR4 = 0x338;
export const EFER = 0x340;
export const DR0 = 0x348;
export const DR6 = 0x378;
export const DR7 = 0x380;
export const MSR_STAR = 0x388;
export const MSR_LSTAR = 0x390;
export const MSR_CSTAR = 0x398;
export const MSR_FMASK = 0x3a0;
export const KERNEL_GS_BASE = 0x3a8;
export const SYSENTER_CS = 0x3b0;
export const SYSENTER_ESP = 0x3b8;
export const SYSENTER_EIP = 0x3c0;
export const MSR_PAT = 0x3c8;
export const TSC_AUX = 0x3d0;
export const TSC_OFFSET = 0x3d8;
export const MISC_ENABLE = 0x3e0;
/** All ones with A20 enabled, bit 20 clear otherwise; ANDed onto every physical address. */
export const A20_MASK = 0x3e8;
export const XCR0 = 0x3f0;
/** Pending exception or interrupt being delivered: vector, error code, flags (EXC_*). */
export const EXC_VECTOR = 0x3f8;
export const EXC_ERROR = 0x400;
export const EXC_FLAGS = 0x408;
/** RIP of the next instruction for software interrupts and traps. */
export const EXC_NEXT_RIP = 0x410;
/** Vector of the exception whose delivery is under way (for #DF), -1 if none. */
export const EXC_NESTED = 0x418;
/** CPUID table: CPUID_TABLE_ENTRIES rows of 32 bytes: leaf, subleaf (0xffffffff = any), eax, ebx, ecx, edx, 0, 0 (u32); count first. */
export const CPUID_COUNT = 0x420;
/** Feature words the runtime itself must know (X86_FEATURE_* bits, filled by the CPU model). */
export const FEATURES = 0x428;
export const PHYS_ADDR_BITS = 0x430;
/** PAE page-directory-pointer registers 0..3, loaded with CR3. */
export const PDPTE = 0x440;
/** 1 from the delivery of an NMI to the next IRET. */
export const NMI_BLOCKED = 0x460;
/** IA32_APIC_BASE is the host's; IA32_TSC_ADJUST. */
export const TSC_ADJUST = 0x468;
/** Breakpoint conditions (DR6 bits 0..3) met by data accesses of the current instruction, reported at its end. */
export const DR_PENDING = 0x470;
/** Protection-key rights of user pages; IA32_PKRS, those of supervisor pages. */
export const PKRU = 0x478;
export const PKRS = 0x480;
/** System management mode: SMM_* bits; base of the save area and the handler. */
export const SMM = 0x488;
export const SMBASE = 0x490;
/** FERR_* bits: the x87 error that is reported outside the processor (CR0.NE clear). */
export const FERR = 0x498;
/** State components XCR0 can enable (CPUID leaf 0DH), filled by the CPU model. IA32_XSS is always 0. */
export const XCR0_MASK = 0x4f0;
/** MTRRs and other MSRs that only keep their value: 128 slots. */
export const MSR_STORE = 0x600;
export const CPUID_TABLE = 0xa00;
export const CPUID_TABLE_ENTRIES = 64;

// ---- vector and floating-point state (always in memory)
/** XMM0..15 (room to 31), 16 bytes each. */
export const XMM = 0x1400;
/** Upper halves of YMM, same order. */
export const YMM_HI = 0x1600;
/** From the low half of a 256-bit operand to its upper half: registers and VECTOR_TEMP alike. */
export const VECTOR_HI = 0x200;
export const MXCSR = 0x1800;
/** x87: physical registers 0..7, 16 bytes each: significand u64, sign and exponent u16. MMn is the significand of physical register n. */
export const FPR = 0x1880;
export const FPU_CW = 0x1900;
/** Status word without TOP (bits 11..13 zero here). */
export const FPU_SW = 0x1908;
export const FPU_TOP = 0x1910;
/** Tag per physical register, one byte each: 1 = empty, 0 = valid (full tag word computed on demand). */
export const FPU_TAGS = 0x1918;
export const FPU_IP = 0x1920;
export const FPU_DP = 0x1928;
export const FPU_CS = 0x1930;
export const FPU_DS = 0x1938;
export const FPU_OPCODE = 0x1940;
/** Scratch for helpers and 128-bit transfers (16-byte aligned). */
export const SCRATCH = 0x1a00;
/** 256-bit temporaries of the instruction under way, 32 low halves of 16 bytes; the upper halves VECTOR_HI behind. */
export const VECTOR_TEMP = 0x1c00;
export const STATE_SIZE = 0x2000;

/** First temporary; 16 bytes each. */
export const TEMP_BASE = 0x8000;
export const TEMP_LIMIT = 0x10000;

// ---- HFLAGS bits (mode part of a block's key)
export const HF_CPL_MASK = 0x3;
export const HF_CS32 = 0x4;
export const HF_SS32 = 0x8;
/** Long mode active and CS.L: 64-bit code. */
export const HF_CS64 = 0x10;
/** Long mode active (compatibility mode when HF_CS64 is clear). */
export const HF_LMA = 0x20;
export const HF_PE = 0x40;
export const HF_VM = 0x80;
/** Set when ES, SS, DS are all flat (base 0, limit 4 GiB-1, readable and writable, not null): no segment checks needed. */
export const HF_FLAT = 0x100;
/** Set when CS is flat as well (base 0, limit 4 GiB-1). */
export const HF_CS_FLAT = 0x200;
/** RFLAGS.TF: one instruction per block, then #DB. */
export const HF_TF = 0x400;
/** Interrupt shadow active: one instruction per block, then it is cleared. */
export const HF_SHADOW = 0x800;
/** CR0.EM, CR0.TS, CR0.MP, CR4.OSFXSR, CR0.NE as seen by x87/SSE decoding. */
export const HF_EM = 0x1000;
export const HF_TS = 0x2000;
export const HF_MP = 0x4000;
export const HF_OSFXSR = 0x8000;
/** MMU index in bits 17..16 (MMU_* below): which soft TLB data accesses of this code use. */
export const HF_MMU_SHIFT = 16;
/** Some DR7 breakpoint is enabled: one instruction per block, checked by a helper. */
export const HF_DR7 = 0x40000;
/** RFLAGS.RF at block start: instruction breakpoints are ignored once. */
export const HF_RF = 0x80000;
/** Block of one instruction only, whose stores into translated code are executed (retry after a store hit translated code). */
export const HF_ONE_INSN = 0x100000;
/** RFLAGS.IOPL in bits 23..22. */
export const HF_IOPL_SHIFT = 22;
/** CR4.OSXSAVE, CR4.UMIP (later instruction-set extensions). */
export const HF_OSXSAVE = 0x1000000;
export const HF_UMIP = 0x2000000;
/** CR4.VME/PVI in effect. */
export const HF_VME = 0x4000000;
/** CR4.OSXSAVE, and XCR0 has SSE and AVX state enabled: VEX-encoded vector instructions exist. */
export const HF_AVX = 0x8000000;

// ---- MMU indexes
export const MMU_KERNEL = 0;
export const MMU_USER = 1;
/** CPL < 3 with SMAP on and RFLAGS.AC clear: user pages are not accessible. */
export const MMU_KERNEL_SMAP = 2;
/** CPL 3 under CR0.AM and RFLAGS.AC. Its soft TLB stays empty: every access takes the slow path, which checks alignment. */
export const MMU_USER_ALIGN = 3;

// ---- INTERRUPT_PENDING bits
export const INTERRUPT_HARD = 1;
export const INTERRUPT_NMI = 2;
export const INTERRUPT_SMI = 4;
export const INTERRUPT_INIT = 8;
export const INTERRUPT_SIPI = 16;

// ---- SMM bits
export const SMM_ACTIVE = 1;
/** NMIs were blocked already when the SMI came. */
export const SMM_NMI_BLOCKED = 2;

// ---- FERR bits
export const FERR_ASSERTED = 1;
/** IGNNE#: go on in spite of the error. */
export const FERR_IGNORED = 2;

// ---- FEATURES bits: what decides about control-register bits, MSRs and instructions inside the runtime
export const X86_FEATURE_SMAP = 0x1;
export const X86_FEATURE_SMEP = 0x2;
export const X86_FEATURE_UMIP = 0x4;
export const X86_FEATURE_LA57 = 0x8;
export const X86_FEATURE_FSGSBASE = 0x10;
export const X86_FEATURE_PCID = 0x20;
export const X86_FEATURE_INVPCID = 0x40;
export const X86_FEATURE_XSAVE = 0x80;
export const X86_FEATURE_SYSCALL = 0x100;
export const X86_FEATURE_LM = 0x200;
export const X86_FEATURE_NX = 0x400;
export const X86_FEATURE_FFXSR = 0x800;
export const X86_FEATURE_RDTSCP = 0x1000;
/** IA32_ARCH_CAPABILITIES exists. */
export const X86_FEATURE_ARCH_CAP = 0x2000;
export const X86_FEATURE_TSC_ADJUST = 0x4000;
/** IA32_SPEC_CTRL and IA32_PRED_CMD exist. */
export const X86_FEATURE_SPEC_CTRL = 0x8000;
/** CR4.PKE and CR4.PKS may be set. */
export const X86_FEATURE_PKU = 0x1_0000;
export const X86_FEATURE_PKS = 0x2_0000;
/** The machine has more than one processor: MWAIT does not sleep, since a store of another one must end it. */
export const X86_FEATURE_SEVERAL_CPUS = 0x4_0000;
/** IA32_XSS exists (and takes 0 only). */
export const X86_FEATURE_XSAVES = 0x8000000;

// ---- EXC_FLAGS bits
export const EXC_HAS_ERROR = 1;
/** INT n, INT3, INTO: software interrupt (privilege check on the gate, return address is the next instruction). */
export const EXC_SOFTWARE = 2;
/** Hardware interrupt (not a fault: no error code, EXT bit for nested faults). */
export const EXC_EXTERNAL = 4;
/** A fault whose saved RFLAGS image has RF set although the vector alone does not tell (instruction breakpoints). */
export const EXC_RF = 8;

/** Lazy-flag kinds: value of CC_OP. Groups of four are ordered by operand size 8, 16, 32, 64 bits. */
export const CC_DYNAMIC = 0; // only as a translator's "not known"; never stored in the CC_OP slot
/** CC_SRC holds the six arithmetic flags at their RFLAGS positions. */
export const CC_EFLAGS = 1;
/** CC_DST = result, CC_SRC = second operand. */
export const CC_ADD8 = 4;
/** CC_DST = result, CC_SRC = second operand, CC_SRC2 = carry in (0/1). */
export const CC_ADC8 = 8;
/** CC_DST = result, CC_SRC = subtrahend; the minuend is CC_DST + CC_SRC. CMP too. */
export const CC_SUB8 = 12;
/** CC_DST = result, CC_SRC = subtrahend, CC_SRC2 = borrow in. */
export const CC_SBB8 = 16;
/** CC_DST = result; CF = OF = AF = 0. AND OR XOR TEST. */
export const CC_LOGIC8 = 20;
/** CC_DST = result, CC_SRC = CF before (0/1). */
export const CC_INC8 = 24;
export const CC_DEC8 = 28;
/** CC_DST = result, CC_SRC = operand shifted left by count-1 (CF = its top bit; OF = top bits of CC_SRC ^ CC_DST). */
export const CC_SHL8 = 32;
/** CC_DST = result, CC_SRC = operand shifted right by count-1 (CF = its bit 0; OF = top bits of CC_SRC ^ CC_DST). SHR SAR. */
export const CC_SHR8 = 36;
/** CC_DST = low result, CC_SRC = non-zero if the high half is significant (CF = OF). MUL IMUL. */
export const CC_MUL8 = 40;
/** CC_DST = result, CC_SRC = CF; OF = SF = AF = PF = 0 … TZCNT/LZCNT/BSF/BSR (ZF from CC_DST). */
export const CC_BITSCAN8 = 44;
/** ZF = (CC_DST == 0), all other flags 0. POPCNT. */
export const CC_POPCNT = 48;

/**
 * CC_OP = base kind (bits 6..0) | override (bits 11..8). With an override CF and OF come from the CC_CO slot, the other flags from
 * the base kind. So BT, rotates, STC … need not compute the flags they keep.
 */
export const CC_BASE_MASK = 0x7f;
export const CC_CO_MASK = 0xf00;
/** CC_CO holds CF in bit 0 and OF in bit 11. */
export const CC_CO_FLAGS = 0x100;
/** CC_CO = result of ROL: CF = bit 0, OF = bit 0 ^ top bit. */
export const CC_CO_ROL8 = 0x200;
export const CC_CO_ROL16 = 0x300;
export const CC_CO_ROL32 = 0x400;
export const CC_CO_ROL64 = 0x500;
/** CC_CO = result of ROR: CF = top bit, OF = xor of the two top bits. */
export const CC_CO_ROR8 = 0x600;
export const CC_CO_ROR16 = 0x700;
export const CC_CO_ROR32 = 0x800;
export const CC_CO_ROR64 = 0x900;
/** CC_CO holds CF in bit 0; OF is that of the base kind. */
export const CC_CO_CARRY = 0xa00;
/**
 * CC_OP bit 7: an INC or DEC came after the flags that the base kind and the override describe. CF is still theirs; ZF, SF, PF, AF and
 * OF follow from the result in the CC_ID slot. Bits 13..12: log2 of its size; bit 14: DEC. Bit 15: a rotate came later still, OF is
 * the override's.
 */
export const CC_STEP = 0x80;
export const CC_STEP_SIZE_SHIFT = 12;
export const CC_STEP_DEC = 0x4000;
export const CC_STEP_OLD_OF = 0x8000;
