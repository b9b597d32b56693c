import type { IrBuilder } from '../ir/builder.ts';
import type { HelperInfo } from '../ir/helper-table.ts';

/** Where the bytes of a block come from. Addresses are byte addresses in wasm memory. */
export interface CodeWindow {
  /** The whole wasm memory. */
  readonly bytes: Uint8Array;
  /** Address of the byte at the block's first RIP. */
  readonly start: number;
  /** Address behind the last readable byte of that page (start + bytes left in the page). */
  readonly end: number;
  /** Address of the first byte of the virtually following page, or -1 if it cannot be fetched (the fetch would fault). */
  nextPage(): number;
  /** How many bytes of that page can be executed: fewer than a page where the code segment ends. */
  readonly nextBytes?: number;
}

export interface TranslationRequest {
  readonly ripLo: number;
  readonly ripHi: number;
  /** Low half of the block key: mode flags. */
  readonly flags: number;
  /** High half of the block key (x86: CS base). */
  readonly csBase: number;
  /** 1 for single-instruction blocks. */
  readonly maxInsns: number;
  readonly code: CodeWindow;
  /** Called for every guest instruction, in order, when instruction logging is on: offset from the block start, length. */
  readonly onInsn?: (offset: number, length: number) => void;
}

export interface TranslatedBlock {
  /** Guest bytes covered; 0 when even the first instruction could not be fetched (the caller raises the fetch fault). */
  sizeBytes: number;
  insns: number;
  /** Bytes from the second page were used. */
  crossesPage: boolean;
}

/** What the translator needs to know about a guest architecture. */
export interface TargetDescriptor {
  readonly name: string;
  /** File name of the runtime module (`dist/runtime/<name>.wasm`). */
  readonly runtime: string;
  readonly helpers: readonly HelperInfo[];
  /** State slots below this offset may be promoted to locals. */
  readonly localSlotLimit: number;
  /** Debug names of state slots. */
  slotName(offset: number): string | undefined;
  /** Appends the IR of one block to `ir` (begun by the caller). Never throws for guest bytes: undefined opcodes raise #UD at run time. */
  translateBlock(request: TranslationRequest, ir: IrBuilder, result: TranslatedBlock): void;
  /** One line of disassembly per instruction, for `-d in_asm` and the monitor. */
  disassemble(
    bytes: Uint8Array,
    rip: bigint,
    flags: number,
  ): { readonly text: string; readonly length: number };
}
