import type { HelperTable } from '../../ir/helper-table.ts';

/** Runtime helpers of the x87 and MMX instructions; the rules at the head of ./helpers-integer.ts apply. */
export const fpuHelpers = {
} as const satisfies HelperTable;
