import { expandHelpers, helperIndexes } from '../../ir/helper-table.ts';
import { fpuHelpers } from './helpers-fpu.ts';
import { integerHelpers } from './helpers-integer.ts';
import { sseHelpers } from './helpers-sse.ts';
import { systemHelpers } from './helpers-system.ts';

/** Every runtime helper of the x86 front end. */
export const x86Helpers = { ...integerHelpers, ...systemHelpers, ...fpuHelpers, ...sseHelpers } as const;

/** Rows in index order, as the back ends need them. */
export const X86_HELPERS = expandHelpers(x86Helpers);

/** Index by name: the `x` field of `call`. */
export const HELPER = helperIndexes(x86Helpers);
