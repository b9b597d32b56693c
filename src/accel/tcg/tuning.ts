/** Constants of the tiers, with the measurements behind them (see also docs/adr/). */

/**
 * Executions of a block in the interpreter before its region is queued for compilation. Boot of Debian's cloud kernel to a shell,
 * CPU seconds of the machine thread (of all threads): 100: 10.4 (19.4), 300: 7.5 (14.6), 1000: 5.9 (10.9), 2000: 6.5 (11.0).
 * Since compiled blocks are not copied into other regions 2000 was no slower to boot than 1000 and left less to compile.
 */
export const HOT_THRESHOLD = 2000;
/** Further executions before the queue is compiled at once, because this block cannot wait. */
export const REHOT_THRESHOLD = 16000;
/**
 * Regions in one module at most. A module and its instance cost 150 us whatever they hold, 30 us a region when 32 share it; and
 * with one function per module all code lies at the same offset in its page, where the branch predictor thrashes (27 ns a
 * transfer instead of 7, Node 20).
 */
export const BATCH_SIZE = 64;
/** Guest instructions and blocks in one region at most. */
export const REGION_MAX_INSNS = 150;
export const REGION_MAX_BLOCKS = 64;
/** A block joins a region only if it ran at least this share (as a divisor) of the threshold. */
export const REGION_WARM_DIVISOR = 16;
/** First size of the function table, and the most it may have: Node 20 copies an imported table for every instance. */
export const TABLE_INITIAL = 2048;
export const TABLE_LIMIT = 8192;
