/** Constants of the tiers. Each was chosen by measurement; docs/benchmarks.md tells how to repeat it. */

/** Executions of a block in the interpreter before its region is compiled. */
export const HOT_THRESHOLD = 300;
/** Guest instructions and blocks in one region at most. */
export const REGION_MAX_INSNS = 300;
export const REGION_MAX_BLOCKS = 64;
/** A block joins a region only if it ran at least this share (as a divisor) of the threshold. */
export const REGION_WARM_DIVISOR = 16;
/** Slots the function table grows by. */
export const TABLE_GROWTH = 1024;
