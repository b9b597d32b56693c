/**
 * The architectural state of a processor as the oracle exchanges it: one block of bytes, the same for the host's processor and for
 * the translator, and the places in linear memory where both see code and data.
 */

// ---- linear memory, the same natively and in the translator
/** Everything lies in this region; whatever is not named below is unmapped. */
export const REGION = 0x6000_0000;
export const REGION_SIZE = 0x0100_0000;
/** Two executable and writable pages; an unmapped page before and after. */
export const CODE = REGION + 0x10_0000;
export const CODE_SIZE = 0x2000;
/** Two writable pages; an unmapped page before and after. */
export const DATA = REGION + 0x20_0000;
export const DATA_SIZE = 0x2000;
/** One page that can only be read. */
export const READ_ONLY = REGION + 0x22_0000;
export const READ_ONLY_SIZE = 0x1000;

// ---- the image
/** RAX … R15 in encoding order, 8 bytes each. */
export const I_GPR = 0x00;
export const I_RSP = 0x20;
export const I_FS_BASE = 0x80;
export const I_GS_BASE = 0x88;
/** Selectors, 16 bits each. */
export const I_ES = 0x90;
export const I_DS = 0x92;
export const I_FS = 0x94;
export const I_GS = 0x96;
/** Vector of the exception that ended the case (u32), NO_VECTOR if none did; its error code (u32); CR2 (u64, for #PF). */
export const I_VECTOR = 0x98;
export const I_ERROR = 0x9c;
export const I_CR2 = 0xa0;
/** In the order of an IRETQ frame, 8 bytes each. */
export const I_RIP = 0xd8;
export const I_CS = 0xe0;
export const I_RFLAGS = 0xe8;
export const I_FRAME_RSP = 0xf0;
export const I_SS = 0xf8;
/** XSAVE image in the standard format: legacy region, header, upper halves of YMM (SDM Vol. 1 13.4). */
export const I_XSAVE = 0x100;
export const I_FCW = I_XSAVE;
export const I_FSW = I_XSAVE + 2;
export const I_FTW = I_XSAVE + 4;
export const I_FOP = I_XSAVE + 6;
export const I_FIP = I_XSAVE + 8;
export const I_FDP = I_XSAVE + 16;
export const I_MXCSR = I_XSAVE + 24;
/** ST(0) … ST(7), 16 bytes each. */
export const I_ST = I_XSAVE + 32;
export const I_XMM = I_XSAVE + 160;
export const I_XSTATE_BV = I_XSAVE + 512;
export const I_YMM_HI = I_XSAVE + 576;
export const XSAVE_SIZE = 832;
export const IMAGE_SIZE = I_XSAVE + XSAVE_SIZE;

export const NO_VECTOR = 0xffff_ffff;
/** The case ran too long and was stopped. */
export const VECTOR_TIMEOUT = 0x1000;
/** The translator shut down. */
export const VECTOR_SHUTDOWN = 0x1001;

// ---- selectors, those of Linux
export const CS_32 = 0x23;
export const CS_64 = 0x33;
export const DATA_SELECTOR = 0x2b;

export type Bits = 32 | 64;

/** Something that runs code from a state: the host's processor or one tier of the translator. */
export interface OracleCpu {
  /** The state before and after, IMAGE_SIZE bytes each; CODE, DATA, READ_ONLY. */
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  readonly code: Uint8Array;
  readonly data: Uint8Array;
  readonly readOnly: Uint8Array;
  /** Places code; control that reaches `at` + its length ends the case. Everything else in the code pages is INT3. */
  load(code: Uint8Array, at: number, bits: Bits): void;
  /** Runs from `input`. */
  run(): void;
}
