import type { HandlerNames } from './insn-row.ts';
import type { x87OneByte } from './table-x87.ts';
import type { Handler } from './translator.ts';

export const x87Handlers = {
} as const satisfies Record<HandlerNames<typeof x87OneByte>, Handler>;
