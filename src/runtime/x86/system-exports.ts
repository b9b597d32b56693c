export { cpu_init, cpu_reset } from './reset';
export { check_code_breakpoint, end_of_insn, read_dr, write_dr } from './debug';
export { deliver_fault, deliver_interrupt, deliver_nmi, interrupt_window, set_interrupt_log } from './interrupts';
export { seg_load, seg_load_shadow, seg_read, seg_write } from './segments';
export { cc_all, cc_carry, cc_cond, get_rflags, set_rflags, update_hflags } from './flag-exports';
