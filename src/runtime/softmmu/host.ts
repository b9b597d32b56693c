// What the runtime asks of the host side of the translator. Numbers only; see VcpuBus in
// src/accel/accelerator.ts.

/** Physical read outside RAM; size 1, 2 or 4. */
@external('host', 'mmio_read') export declare function mmio_read(paddr: f64, size: i32): i32;
@external('host', 'mmio_write') export declare function mmio_write(paddr: f64, size: i32, value: i32): void;
/** A store to ROM, by its address in this memory; size 1, 2 or 4. */
@external('host', 'rom_write') export declare function rom_write(hostAddress: i32, size: i32, value: i32): void;
@external('host', 'pio_read') export declare function pio_read(port: i32, size: i32): i32;
@external('host', 'pio_write') export declare function pio_write(port: i32, size: i32, value: i32): void;
/** Blocks translated from these bytes must die; CODE_MASK and PAGE_FLAGS are up to date on return. */
@external('host', 'code_written') export declare function code_written(hostAddress: i32, size: i32): void;
/** 1 = ours; the value travels in the SCRATCH slot. */
@external('host', 'apic_read_msr') export declare function apic_read_msr(index: i32): i32;
@external('host', 'apic_write_msr') export declare function apic_write_msr(index: i32): i32;
/** CR8: bits 7..4 of the task priority register. */
@external('host', 'get_tpr') export declare function get_tpr(): i32;
@external('host', 'set_tpr') export declare function set_tpr(value: i32): void;
@external('host', 'read_tsc') export declare function read_tsc(): f64;
/** Log only. */
@external('host', 'guest_error') export declare function guest_error(code: i32, arg: f64): void;
@external('host', 'log_interrupt') export declare function log_interrupt(vector: i32, kind: i32): void;
/** Control register 0, 3 or 4 and its new value; 2: a page fault's address and error code. Only when enabled. */
@external('host', 'log_mmu') export declare function log_mmu(register: i32, lo: i32, hi: i32, error: i32): void;
/** An interrupt to the CPU with this APIC id, as ICR's low half describes it: 1 if there is such a CPU. */
// @ts-ignore: decorator
@external('host', 'send_ipi') export declare function send_ipi(apicId: i32, icr: i32): i32;
/** FERR#: an x87 error under CR0.NE = 0 stops the processor before a waiting instruction. */
// @ts-ignore: decorator
@external('host', 'fpu_error') export declare function fpu_error(): void;
/** RSM: SMRAM is hidden again. */
// @ts-ignore: decorator
@external('host', 'leave_smm') export declare function leave_smm(): void;
/** 32 random bits of cryptographic quality (RDRAND, RDSEED). */
// @ts-ignore: decorator
@external('host', 'random32') export declare function random32(): i32;
