// Architectural bit names (SDM Vol. 3A chapter 2 and 4, Vol. 4).

export const FL_CF: u64 = 0x1;
export const FL_PF: u64 = 0x4;
export const FL_AF: u64 = 0x10;
export const FL_ZF: u64 = 0x40;
export const FL_SF: u64 = 0x80;
export const FL_TF: u64 = 0x100;
export const FL_IF: u64 = 0x200;
export const FL_DF: u64 = 0x400;
export const FL_OF: u64 = 0x800;
export const FL_IOPL: u64 = 0x3000;
export const FL_NT: u64 = 0x4000;
export const FL_RF: u64 = 0x1_0000;
export const FL_VM: u64 = 0x2_0000;
export const FL_AC: u64 = 0x4_0000;
export const FL_VIF: u64 = 0x8_0000;
export const FL_VIP: u64 = 0x10_0000;
export const FL_ID: u64 = 0x20_0000;
/** The six flags that live in the lazy state. */
export const FL_ARITH: u64 = 0x8d5;
/** All defined bits but bit 1. */
export const FL_DEFINED: u64 = 0x3f_7fd5;

export const CR0_PE: u64 = 0x1;
export const CR0_MP: u64 = 0x2;
export const CR0_EM: u64 = 0x4;
export const CR0_TS: u64 = 0x8;
export const CR0_ET: u64 = 0x10;
export const CR0_NE: u64 = 0x20;
export const CR0_WP: u64 = 0x1_0000;
export const CR0_AM: u64 = 0x4_0000;
export const CR0_NW: u64 = 0x2000_0000;
export const CR0_CD: u64 = 0x4000_0000;
export const CR0_PG: u64 = 0x8000_0000;

export const CR4_VME: u64 = 0x1;
export const CR4_PVI: u64 = 0x2;
export const CR4_TSD: u64 = 0x4;
export const CR4_DE: u64 = 0x8;
export const CR4_PSE: u64 = 0x10;
export const CR4_PAE: u64 = 0x20;
export const CR4_MCE: u64 = 0x40;
export const CR4_PGE: u64 = 0x80;
export const CR4_PCE: u64 = 0x100;
export const CR4_OSFXSR: u64 = 0x200;
export const CR4_OSXMMEXCPT: u64 = 0x400;
export const CR4_UMIP: u64 = 0x800;
export const CR4_LA57: u64 = 0x1000;
export const CR4_FSGSBASE: u64 = 0x1_0000;
export const CR4_PCIDE: u64 = 0x2_0000;
export const CR4_OSXSAVE: u64 = 0x4_0000;
export const CR4_SMEP: u64 = 0x10_0000;
export const CR4_SMAP: u64 = 0x20_0000;
export const CR4_PKE: u64 = 0x40_0000;
export const CR4_PKS: u64 = 0x100_0000;

export const EFER_SCE: u64 = 0x1;
export const EFER_LME: u64 = 0x100;
export const EFER_LMA: u64 = 0x400;
export const EFER_NXE: u64 = 0x800;
export const EFER_FFXSR: u64 = 0x4000;

/** Segment attributes as kept in SEG_ATTR. */
export const AT_TYPE: i32 = 0xf;
export const AT_ACCESSED: i32 = 0x1;
/** Data: writable. Code: readable. */
export const AT_WRITABLE: i32 = 0x2;
/** Data: expand down. Code: conforming. */
export const AT_CONFORMING: i32 = 0x4;
export const AT_CODE: i32 = 0x8;
export const AT_S: i32 = 0x10;
export const AT_P: i32 = 0x80;
export const AT_L: i32 = 0x2000;
export const AT_DB: i32 = 0x4000;
export const AT_G: i32 = 0x8000;
export const AT_UNUSABLE: i32 = 0x1_0000;

// Vectors (SDM Vol. 3A table 6-1).
export const V_DE: i32 = 0;
export const V_DB: i32 = 1;
export const V_NMI: i32 = 2;
export const V_BP: i32 = 3;
export const V_OF: i32 = 4;
export const V_BR: i32 = 5;
export const V_UD: i32 = 6;
export const V_NM: i32 = 7;
export const V_DF: i32 = 8;
export const V_TS: i32 = 10;
export const V_NP: i32 = 11;
export const V_SS: i32 = 12;
export const V_GP: i32 = 13;
export const V_PF: i32 = 14;
export const V_MF: i32 = 16;
export const V_AC: i32 = 17;
export const V_MC: i32 = 18;
export const V_XM: i32 = 19;
