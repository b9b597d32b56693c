// The jump cache follows the soft TLB: it maps virtual addresses too.
export { jcFlushAll, jcFlushNonGlobal, jcFlushPage } from '../tcg/jump-cache';
