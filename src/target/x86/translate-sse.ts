import type { HandlerNames } from './insn-row.ts';
import type { simd0f, simd0f38, simd0f3a } from './table-sse.ts';
import type { Handler } from './translator.ts';

export const simdHandlers = {
} as const satisfies Record<HandlerNames<typeof simd0f> | HandlerNames<typeof simd0f38> | HandlerNames<typeof simd0f3a>, Handler>;
