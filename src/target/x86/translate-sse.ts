import type { HandlerNames } from './insn-row.ts';
import type { mmx0f, mmx0f3a, mmx0f38, simd0f, simd0f3a, simd0f38 } from './table-sse.ts';
import { simdFloatHandlers } from './translate-sse-float.ts';
import { simdIntHandlers } from './translate-sse-int.ts';
import { simdMoveHandlers } from './translate-sse-move.ts';
import type { Handler } from './translator.ts';

export const simdHandlers = {
  ...simdMoveHandlers,
  ...simdFloatHandlers,
  ...simdIntHandlers,
} as const satisfies Record<
  | HandlerNames<typeof simd0f>
  | HandlerNames<typeof simd0f38>
  | HandlerNames<typeof simd0f3a>
  | HandlerNames<typeof mmx0f>
  | HandlerNames<typeof mmx0f38>
  | HandlerNames<typeof mmx0f3a>,
  Handler
>;
