import type { HelperTable } from '../../ir/helper-table.ts';

/** Runtime helpers of the SSE instructions; the rules at the head of ./helpers-integer.ts apply. */
export const sseHelpers = {
} as const satisfies HelperTable;
