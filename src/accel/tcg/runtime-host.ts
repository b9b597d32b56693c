import { RAM_BASE } from '../../runtime/tcg/layout.ts';
import { SCRATCH } from '../../runtime/x86/layout.ts';
import type { VcpuBus } from '../accelerator.ts';
import type { TbRuntime } from './tb-cache.ts';
import type { TcgMemory } from './tcg-memory.ts';

/** Functions of the runtime module that the host side calls. Helpers of the target's table are exported beside them. */
export interface RuntimeExports extends TbRuntime {
  tlb_flush(): void;
  tlb_flush_page(va: bigint): void;
  tlb_fill_count(): number;
  tlb_flush_count(): number;
  code_physical(rip: bigint): number;
  debug_translate(linear: bigint): number;
  deliver_fault(): void;
  interrupt_window(): number;
  deliver_interrupt(vector: number): void;
  deliver_nmi(): void;
  deliver_smi(): void;
  cpu_reset(): void;
  cpu_init(): void;
  update_hflags(): void;
  get_rflags(): bigint;
  set_rflags(value: bigint): void;
  set_log(items: number): void;
  jc_insert(tb: number): void;
  tb_code_address(): number;
  tb_next_page(): number;
  tb_fault_next_page(): number;
  tb_code_room(): number;
  raise_gp(code: bigint): void;
  tb_peek(ripLo: number, ripHi: number): number;
}

export interface HostHooks {
  codeWritten(hostAddr: number, size: number): void;
  guestError(code: number, argument: number): void;
  logInterrupt(vector: number, kind: number): void;
  /** RSM. */
  smmLeft(): void;
  /** Control register 0, 3, 4 got a value; 2: a page fault at that address with this error code. */
  logMmu(register: number, lo: number, hi: number, error: number): void;
}

/** Web Crypto, global in browsers and in Node.js from 19 on. */
declare const crypto: { getRandomValues(array: Int32Array): Int32Array };

type HostFunctions = Readonly<Record<string, (...values: number[]) => number | undefined>>;

/** The `host` imports of the runtime module: numbers only, results of 32 bits. */
export function hostImports(
  memory: TcgMemory,
  cpuBase: number,
  bus: VcpuBus,
  hooks: HostHooks,
): HostFunctions {
  const scratch = (cpuBase + SCRATCH) >>> 2;
  const words = memory.u32;
  const call = (action: () => void): undefined => {
    action();
    return undefined;
  };
  return {
    mmio_read: (address, size) => bus.readMmio(address!, size!) | 0,
    mmio_write: (address, size, value) => call(() => bus.writeMmio(address!, size!, value! >>> 0)),
    rom_write: (hostAddr, size, value) =>
      call(() => bus.writeRom?.((hostAddr! >>> 0) - RAM_BASE, size!, value! >>> 0)),
    pio_read: (port, size) => bus.readPort(port!, size!) | 0,
    pio_write: (port, size, value) => call(() => bus.writePort(port!, size!, value! >>> 0)),
    code_written: (hostAddr, size) => call(() => hooks.codeWritten(hostAddr! >>> 0, size!)),
    apic_read_msr: (index) => {
      const value = bus.readApicMsr(index! >>> 0);
      if (value === undefined) return 0;
      words[scratch] = value.lo;
      words[scratch + 1] = value.hi;
      return 1;
    },
    apic_write_msr: (index) => (bus.writeApicMsr(index! >>> 0, words[scratch]!, words[scratch + 1]!) ? 1 : 0),
    get_tpr: () => bus.readTpr(),
    set_tpr: (value) => call(() => bus.writeTpr(value!)),
    read_tsc: () => bus.readTsc(),
    send_ipi: (apicId, icr) => (bus.sendIpi?.(apicId! >>> 0, icr! >>> 0) === true ? 1 : 0),
    fpu_error: () => call(() => bus.fpuError?.()),
    leave_smm: () =>
      call(() => {
        bus.setSmm?.(false);
        hooks.smmLeft();
      }),
    random32: () => crypto.getRandomValues(new Int32Array(1))[0]!,
    guest_error: (code, argument) => call(() => hooks.guestError(code!, argument!)),
    log_interrupt: (vector, kind) => call(() => hooks.logInterrupt(vector!, kind!)),
    log_mmu: (register, lo, hi, error) => call(() => hooks.logMmu(register!, lo!, hi!, error!)),
  };
}
