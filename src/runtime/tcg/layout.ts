/**
 * Layout of the wasm memory and of the tables that translated code, the interpreter, the runtime and the host side of the
 * translator share. Compiled by tsc and by asc: plain integer constants only. Addresses are byte addresses in the one memory.
 */

/** Static data of the AssemblyScript runtime: 64 KiB .. 1 MiB (`--memoryBase 65536`). */
export const RUNTIME_DATA_END = 0x10_0000;
/** First vCPU block; the next one VCPU_STRIDE further. `cpu_base` of vCPU n = VCPU_BASE + n * VCPU_STRIDE. */
export const VCPU_BASE = 0x10_0000;
export const VCPU_STRIDE = 0x40_0000;

// ---- offsets from cpu_base
/** Soft TLBs, one per MMU index: TLB_ENTRIES entries of TLB_ENTRY_SIZE bytes. Index = (va >> 12) & (TLB_ENTRIES - 1). */
export const TLB_BASE = 0x1_0000;
export const TLB_ENTRIES = 4096;
export const TLB_ENTRY_SIZE = 32;
export const TLB_ENTRY_SHIFT = 5;
export const TLB_TABLE_SIZE = 0x2_0000;
/** Tables that are filled; behind them one that stays empty (MMU_USER_ALIGN). */
export const TLB_TABLES = 3;
/**
 * Entry: three i64 tags (page address with low bits clear when the fast path may be taken; with TLB_SLOW bits set in the low
 * 12 bits when the translation is known but the access must take the slow path; -1 when invalid), then the addend.
 * host address = (i32) va + addend.
 */
export const TLB_READ = 0;
export const TLB_WRITE = 8;
export const TLB_CODE = 16;
export const TLB_ADDEND = 24;
/** u32: for RAM the host address of the page; for MMIO an index of the runtime's own. */
export const TLB_AUX = 28;
/** Low tag bits that force the slow path: MMIO page; page with translated code or being dirty-tracked (writes only); ROM (writes). */
export const TLB_SLOW_MMIO = 1;
export const TLB_SLOW_NOTDIRTY = 2;
export const TLB_SLOW_ROM = 4;
/** A guest data breakpoint lies in the page. */
export const TLB_SLOW_WATCH = 8;
/** Mark of a global page (informational, in TLB_CODE's low bits never set on the fast path). */

/**
 * Jump cache: JC_ENTRIES u32 addresses of TB descriptors (TB_NONE = empty), index = (rip ^ (rip >> JC_BITS)) & (JC_ENTRIES - 1),
 * low 32 bits of rip. A probe compares the descriptor's RIP and key. Large because every transfer between regions goes through
 * it: a Linux kernel that forks keeps ten thousand blocks busy, and with 16 384 entries three quarters of the misses were
 * conflicts. Bare addresses because the cache is probed for every block the interpreter runs: with RIP, key and function in the
 * entry it was 2 MiB, and waiting for it was a fifth of the interpreter's time in a kernel's boot.
 */
export const JC_BASE = 0x20_0000;
export const JC_BITS = 16;
export const JC_ENTRIES = 65536;
export const JC_ENTRY_SHIFT = 2;
/** One byte per entry, the runtime's own: on which lists it stands. */
export const JC_STATE = 0x24_0000;
/** Lists of touched entries, so that a flush costs what was filled: the soft TLB's in the first half, the jump cache's in the second. */
export const FLUSH_LISTS = 0x10_0000;
export const FLUSH_LISTS_SIZE = 0x10_0000;

// ---- after the vCPU blocks
export const MAX_VCPUS = 4;
/** Map of guest-physical RAM/ROM for the page walker: RAM_MAP_COUNT u32, then rows of 32 bytes at RAM_MAP_ROWS. */
export const RAM_MAP = 0x110_0000;
export const RAM_MAP_COUNT = 0x110_0000;
export const RAM_MAP_ROWS = 0x110_0020;
export const RAM_MAP_MAX = 256;
/** Row: f64 first physical address (page-aligned), f64 size in bytes, u32 host address, u32 flags (RAM_MAP_ROM). */
export const RAM_MAP_START = 0;
export const RAM_MAP_SIZE = 8;
export const RAM_MAP_HOST = 16;
export const RAM_MAP_FLAGS = 20;
export const RAM_MAP_ROM = 1;
/** TB hash table: TB_HASH_ENTRIES u32 TB addresses (0 = empty), chained by TB_HASH_NEXT. */
export const TB_HASH = 0x112_0000;
export const TB_HASH_BITS = 16;
export const TB_HASH_ENTRIES = 65536;
/** One u64 per 4 KiB page of the whole memory (index = host address >> 12): bit n set = the 64 bytes from 64*n hold translated code. */
export const CODE_MASK = 0x120_0000;
/** One byte per 4 KiB page of the whole memory: PAGE_* bits. */
export const PAGE_FLAGS = 0x1a0_0000;
export const PAGE_CODE = 1;
/** Dirty log on for this page and page still clean: stores take the slow path once and set PAGE_DIRTY. */
export const PAGE_LOG = 2;
export const PAGE_DIRTY = 4;
/** TB descriptors and IR: TB_ARENA .. TB_ARENA_END; everything is flushed when it is full. */
export const TB_ARENA = 0x1b0_0000;
export const TB_ARENA_SIZE = 0x600_0000;
export const TB_ARENA_END = 0x7b0_0000;
/** Guest RAM and ROM. */
export const RAM_BASE = 0x800_0000;

// ---- TranslationBlock descriptor (64 bytes in one cache line, followed by its IR)
/** A descriptor with a key that no block has (TB_NO_KEY in both halves); nothing else of it is valid. */
export const TB_NONE = 0;
export const TB_NO_KEY = -1;
export const TB_RIP = 0;
export const TB_KEY = 8;
/** Host address of the first code byte: the block's physical identity. */
export const TB_HOST_PC = 16;
/** Host address of the second page's first byte if the block crosses a page, else 0. */
export const TB_HOST_PC2 = 20;
export const TB_IR = 24;
export const TB_IR_END = 28;
/** u16 guest bytes, u16 guest instructions. */
export const TB_SIZE = 32;
export const TB_INSNS = 34;
/** i32 counted down by the interpreter at each entry; EXIT_HOT at zero. */
export const TB_HOT = 36;
/** u32 index in the function table, 0 = interpret. */
export const TB_FUNC = 40;
export const TB_HASH_NEXT = 44;
/** u32 TB_INVALID… */
export const TB_FLAGS = 48;
export const TB_INVALID = 1;
/** Links of the host side's lists of blocks per page: TB address | which of the block's two pages the list is of. */
export const TB_PAGE_NEXT = 52;
export const TB_PAGE_NEXT2 = 56;
export const TB_DESCRIPTOR_SIZE = 64;

// ---- control words of every target's register file: offsets from cpu_base (the target's layout documents them)
export const SLOT_RIP = 0x100;
export const SLOT_KEY = 0x108;
export const SLOT_EXIT_REQUEST = 0x110;
/** u32: the tier that saw the last exit request (TIER_*), for the counters. */
export const SLOT_SAMPLED_TIER = 0x114;
export const SLOT_FAULT = 0x118;
export const SLOT_RESTORE = 0x120;
export const SLOT_EXIT_REASON = 0x128;
export const SLOT_EXIT_ARG = 0x130;
export const SLOT_INTERRUPT_PENDING = 0x140;
export const SLOT_HALTED = 0x148;
/** The interpreter's own: where it is while a slow path runs. */
export const SLOT_INTERP_IP = 0x1f8;

// ---- EXIT_REQUEST bits
/** Look at interrupts. */
export const REQUEST_INTERRUPT = 1;
/** Return to the machine's loop. */
export const REQUEST_RETURN = 2;
/** Another vCPU waits for what this one has just done. */
export const REQUEST_YIELD = 4;

/** Values of SLOT_SAMPLED_TIER; 0: neither. */
export const TIER_INTERPRETER = 1;
export const TIER_REGION = 2;

/** Bits of `set_log`: what the runtime reports to the host as it happens. */
export const RUNTIME_LOG_INTERRUPTS = 1;
export const RUNTIME_LOG_MMU = 2;

// ---- FAULT slot
export const FAULT_NONE = 0;
/** Guest exception recorded in the target's exception slots; to be delivered. */
export const FAULT_EXCEPTION = 1;
/** A store would have changed translated code: blocks are invalidated, the instruction is retried alone (HF_ONE_INSN). */
export const FAULT_SMC = 2;
/** Leave to the host side with EXIT_REASON set by the runtime; RIP and state are valid. */
export const FAULT_HOST = 3;

// ---- EXIT_REASON
/** No translated block at RIP/KEY: translate one. */
export const EXIT_TRANSLATE = 1;
/** EXIT_REQUEST was seen. */
export const EXIT_REQUESTED = 2;
/** FAULT is set. */
export const EXIT_FAULT = 3;
/** Block EXIT_ARG became hot. */
export const EXIT_HOT = 4;
/** HLT. */
export const EXIT_HALT = 5;
/** Triple fault. */
export const EXIT_SHUTDOWN = 6;
/** Debugger breakpoint or single step for the host (EXIT_ARG: kind). */
export const EXIT_DEBUG = 7;
/** The guest waits in a loop: another vCPU may have its turn. */
export const EXIT_YIELD = 8;
