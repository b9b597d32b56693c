// Entry of the x86 runtime: everything translated code, the interpreter and the CPU loop call.

export * from '../softmmu/exports';
export * from './system-exports';
export * from './fpu-exports';
export * from './sse-exports';
export * from '../tcg/tb-find';
export { jc_flush_all, jc_remove_tb } from '../tcg/jump-cache';
