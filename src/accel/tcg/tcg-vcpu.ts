import type { CpuIrqSink } from '../../core/cpu-ports.ts';
import {
  EXIT_DEBUG,
  EXIT_FAULT,
  EXIT_HOT,
  EXIT_REQUESTED,
  EXIT_SHUTDOWN,
  EXIT_TRANSLATE,
  EXIT_YIELD,
  FAULT_EXCEPTION,
  FAULT_HOST,
  FAULT_SMC,
  REQUEST_INTERRUPT,
  REQUEST_RETURN,
  REQUEST_YIELD,
  RUNTIME_LOG_INTERRUPTS,
  RUNTIME_LOG_MMU,
  SLOT_EXIT_ARG,
  SLOT_EXIT_REASON,
  SLOT_EXIT_REQUEST,
  SLOT_FAULT,
  SLOT_HALTED,
  SLOT_INTERRUPT_PENDING,
  SLOT_KEY,
  SLOT_RESTORE,
  SLOT_RIP,
  SLOT_SAMPLED_TIER,
  TB_HOT,
  TIER_INTERPRETER,
  TIER_REGION,
} from '../../runtime/tcg/layout.ts';
import {
  CC_OP,
  CS,
  HF_ONE_INSN,
  INTERRUPT_HARD,
  INTERRUPT_INIT,
  INTERRUPT_NMI,
  INTERRUPT_SIPI,
  INTERRUPT_SMI,
  RIP,
  SEG,
  SEG_BASE,
  SEG_SELECTOR,
} from '../../runtime/x86/layout.ts';
import type { TargetDescriptor } from '../../target/target.ts';
import type { VcpuBus, VcpuExit } from '../accelerator.ts';
import type { StartCompiler } from './compile-channel.ts';
import { formatCounters, TcgCounters } from './counters.ts';
import { generateInterpreter } from './interp/generate.ts';
import { hex64, LOG_EXEC, LOG_GUEST_ERRORS, LOG_INT, LOG_MMU, NO_LOG, type TcgLog } from './log.ts';
import { RegionManager } from './region-manager.ts';
import { hostImports, type RuntimeExports } from './runtime-host.ts';
import { TbCache } from './tb-cache.ts';
import { TbTranslator } from './tb-translate.ts';
import type { TcgMemory } from './tcg-memory.ts';
import { HOT_THRESHOLD, TABLE_INITIAL } from './tuning.ts';
import { type WasmModuleHandle, type WasmTable, webAssembly } from './webassembly.ts';

/** interp: never compile regions. jit: compile every block before it runs. auto: compile what is hot. */
export type TcgTier = 'interp' | 'jit' | 'auto';

export interface TcgVcpuOptions {
  readonly target: TargetDescriptor;
  readonly memory: TcgMemory;
  /** The target's runtime (`dist/runtime/<target.runtime>.wasm`), compiled. */
  readonly runtimeModule: WasmModuleHandle;
  readonly bus: VcpuBus;
  readonly index?: number;
  readonly tier?: TcgTier;
  readonly log?: TcgLog;
  /** A clock for the counters only; nothing the guest sees depends on it. */
  readonly nowNs?: () => number;
  /** Starts a thread that calls `runCompiler(start)`; without it regions are compiled on the vCPU's own thread. */
  readonly startCompiler?: StartCompiler;
}

/** Yield: the guest waits in a loop (PAUSE). */
export type TcgExit = VcpuExit | { readonly kind: 'yield' };

const YIELD: TcgExit = { kind: 'yield' };
const HALTED: VcpuExit = { kind: 'halted' };
const INTERRUPTED: VcpuExit = { kind: 'interrupted' };
const SHUTDOWN: VcpuExit = { kind: 'shutdown' };
const DEBUG_REASONS = ['breakpoint', 'watchpoint', 'step'] as const;
const NEVER_HOT = 0x7fffffff;

/**
 * The translator's engine with the registers of one vCPU: instructions are interpreted while cold, compiled to WebAssembly when
 * hot. Several vCPUs share it by exchanging the registers (`tcg-accelerator.ts`).
 */
export class TcgVcpu implements CpuIrqSink {
  readonly cpuBase: number;
  readonly counters = new TcgCounters();
  readonly runtime: RuntimeExports;
  readonly memory: TcgMemory;
  private readonly bus: VcpuBus;
  private readonly log: TcgLog;
  private readonly words: Int32Array;
  /** Index in `words` of the register file. */
  private readonly base: number;
  private readonly cache: TbCache;
  private readonly translator: TbTranslator;
  private readonly regions: RegionManager | undefined;
  private readonly tier: TcgTier;
  private readonly enter: () => number;
  private readonly nowNs: () => number;
  /** Block from outside RAM that must be forgotten at the next exit, or 0. */
  private uncached = 0;
  private lastTraced = 0;
  private sipiVector = 0;
  /** A halted vCPU means that there is time; not so when another one waits for its turn. */
  compilesWhenHalted = true;
  /** Called within RSM. */
  onSmmLeft: (() => void) | undefined;

  constructor(options: TcgVcpuOptions) {
    const { memory, target } = options;
    this.memory = memory;
    this.bus = options.bus;
    this.log = options.log ?? NO_LOG;
    this.tier = options.tier ?? 'auto';
    this.cpuBase = memory.cpuBase(options.index ?? 0);
    this.words = memory.i32;
    this.base = this.cpuBase >>> 2;
    const nowNs = options.nowNs ?? (() => 0);
    this.nowNs = nowNs;
    const { Instance, Module, Table } = webAssembly();
    const runtime = new Instance(options.runtimeModule, {
      env: { memory: memory.memory, cpu_base: this.cpuBase },
      host: hostImports(memory, this.cpuBase, options.bus, {
        codeWritten: (hostAddr, size) => this.codeWritten(hostAddr, size),
        guestError: (code, argument) => this.logGuestError(code, argument),
        smmLeft: () => this.onSmmLeft?.(),
        logInterrupt: (vector, kind) => this.logInterrupt(vector, kind),
        logMmu: (register, lo, hi, error) => this.logMmu(register, lo, hi, error),
      }),
    }).exports as unknown as RuntimeExports;
    this.runtime = runtime;
    const table: WasmTable = new Table({
      element: 'anyfunc',
      initial: this.tier === 'interp' ? 1 : TABLE_INITIAL,
    });
    const interpreter = new Instance(
      new Module(generateInterpreter({ cpuBase: this.cpuBase, helpers: target.helpers })),
      {
        env: { memory: memory.memory, table },
        runtime: runtime as unknown as Record<string, unknown>,
      },
    ).exports;
    this.enter = interpreter['enter'] as () => number;
    const manager = (): RegionManager | undefined => this.regions;
    this.cache = new TbCache(
      memory,
      runtime,
      {
        onBlockInvalidated: (tb) => manager()?.onBlockInvalidated(tb),
        onAllInvalidated: () => manager()?.onAllInvalidated(),
      },
      this.counters,
    );
    this.translator = new TbTranslator({
      memory,
      cpuBase: this.cpuBase,
      runtime,
      target,
      cache: this.cache,
      counters: this.counters,
      log: this.log,
      nowNs,
    });
    this.translator.hotThreshold =
      this.tier === 'interp' ? NEVER_HOT : this.tier === 'jit' ? 1 : HOT_THRESHOLD;
    this.regions =
      this.tier === 'interp'
        ? undefined
        : new RegionManager({
            memory,
            cpuBase: this.cpuBase,
            runtime,
            target,
            table,
            counters: this.counters,
            log: this.log,
            nowNs,
            hotThreshold: this.translator.hotThreshold,
            eager: this.tier === 'jit',
            startCompiler: options.startCompiler,
          });
    this.reset();
  }

  // ---- state

  private get(slot: number): number {
    return this.words[this.base + (slot >> 2)]!;
  }

  private set(slot: number, value: number): void {
    this.words[this.base + (slot >> 2)] = value;
  }

  /** A 64-bit slot of the register file by its byte offset (`runtime/<target>/layout.ts`). */
  readSlot(offset: number): bigint {
    return this.memory.view.getBigUint64(this.cpuBase + offset, true);
  }

  writeSlot(offset: number, value: bigint): void {
    this.memory.view.setBigUint64(this.cpuBase + offset, BigInt.asUintN(64, value), true);
  }

  /** RFLAGS with the arithmetic flags, which otherwise are kept lazily. */
  get rflags(): bigint {
    return BigInt.asUintN(64, this.runtime.get_rflags());
  }

  set rflags(value: bigint) {
    this.runtime.set_rflags(value);
  }

  get halted(): boolean {
    return this.get(SLOT_HALTED) !== 0;
  }

  reset(): void {
    this.runtime.cpu_reset();
    this.set(SLOT_EXIT_REQUEST, 0);
    this.set(SLOT_EXIT_REQUEST + 4, 0);
    this.uncached = 0;
  }

  /** To be called after the physical map of RAM and ROM changed. */
  memoryMapChanged(): void {
    this.runtime.tlb_flush();
  }

  // ---- interrupt inputs

  setInterruptPending(pending: boolean): void {
    if (pending) this.pend(INTERRUPT_HARD);
    else Atomics.and(this.words, this.base + (SLOT_INTERRUPT_PENDING >> 2), ~INTERRUPT_HARD);
  }

  /** Makes an INTERRUPT_* event pending. */
  pend(bit: number): void {
    Atomics.or(this.words, this.base + (SLOT_INTERRUPT_PENDING >> 2), bit);
    Atomics.or(this.words, this.base + (SLOT_EXIT_REQUEST >> 2), REQUEST_INTERRUPT);
  }

  nmi(): void {
    this.pend(INTERRUPT_NMI);
  }

  smi(): void {
    this.pend(INTERRUPT_SMI);
  }

  init(): void {
    this.pend(INTERRUPT_INIT);
  }

  sipi(vector: number): void {
    this.sipiVector = vector;
    this.pend(INTERRUPT_SIPI);
  }

  requestExit(): void {
    Atomics.or(this.words, this.base + (SLOT_EXIT_REQUEST >> 2), REQUEST_RETURN);
  }

  /** Ends the present turn at the next poll. */
  requestYield(): void {
    Atomics.or(this.words, this.base + (SLOT_EXIT_REQUEST >> 2), REQUEST_YIELD);
  }

  /** Address in the shared memory of the exit request word, so that another thread can set REQUEST_RETURN in it. */
  get exitRequestAddress(): number {
    return this.cpuBase + SLOT_EXIT_REQUEST;
  }

  /** Takes one deliverable event, if any. */
  private serviceInterrupts(): void {
    const window = this.runtime.interrupt_window();
    if (window === 0) return;
    const pending = this.base + (SLOT_INTERRUPT_PENDING >> 2);
    if ((window & INTERRUPT_INIT) !== 0) {
      Atomics.and(this.words, pending, ~(INTERRUPT_INIT | INTERRUPT_SIPI));
      this.runtime.cpu_init();
    } else if ((window & INTERRUPT_SIPI) !== 0) {
      Atomics.and(this.words, pending, ~INTERRUPT_SIPI);
      this.startUp(this.sipiVector);
    } else if ((window & INTERRUPT_SMI) !== 0) {
      Atomics.and(this.words, pending, ~INTERRUPT_SMI);
      this.bus.setSmm?.(true);
      this.runtime.deliver_smi();
    } else if ((window & INTERRUPT_NMI) !== 0) {
      Atomics.and(this.words, pending, ~INTERRUPT_NMI);
      this.counters.interrupts++;
      this.runtime.deliver_nmi();
    } else if ((window & INTERRUPT_HARD) !== 0) {
      const vector = this.bus.acknowledgeInterrupt();
      if (vector < 0) return;
      this.counters.interrupts++;
      this.runtime.deliver_interrupt(vector);
    }
    if (this.get(SLOT_INTERRUPT_PENDING) !== 0 && this.runtime.interrupt_window() !== 0) {
      Atomics.or(this.words, this.base + (SLOT_EXIT_REQUEST >> 2), REQUEST_INTERRUPT);
    }
  }

  /** SDM Vol. 3A 8.4.3: execution starts at vector << 12 in real mode. */
  startUp(vector: number): void {
    this.writeSlot(SEG + CS * 0x20 + SEG_SELECTOR, BigInt(vector << 8));
    this.writeSlot(SEG + CS * 0x20 + SEG_BASE, BigInt(vector << 12));
    this.writeSlot(RIP, 0n);
    this.set(SLOT_HALTED, 0);
    this.runtime.update_hflags();
  }

  // ---- the loop

  run(): TcgExit {
    this.runtime.set_log(this.runtimeLogItems());
    for (;;) {
      const requested = Atomics.exchange(this.words, this.base + (SLOT_EXIT_REQUEST >> 2), 0);
      if (this.get(SLOT_INTERRUPT_PENDING) !== 0) this.serviceInterrupts();
      if (this.get(SLOT_FAULT) !== 0) {
        const exit = this.handleFault();
        if (exit !== undefined) return exit;
      }
      if ((requested & REQUEST_RETURN) !== 0) return INTERRUPTED;
      if ((requested & REQUEST_YIELD) !== 0) return YIELD;
      if (this.get(SLOT_HALTED) !== 0) {
        if (this.compilesWhenHalted) this.compileQueue();
        return HALTED;
      }
      const exit = this.handle(this.timedEnter());
      if (exit !== undefined) return exit;
    }
  }

  private runtimeLogItems(): number {
    const { mask } = this.log;
    return (
      ((mask & LOG_INT) !== 0 ? RUNTIME_LOG_INTERRUPTS : 0) | ((mask & LOG_MMU) !== 0 ? RUNTIME_LOG_MMU : 0)
    );
  }

  private timedEnter(): number {
    const started = this.nowNs();
    const reason = this.enter();
    const { counters } = this;
    counters.guestNs += this.nowNs() - started;
    if (reason === EXIT_REQUESTED) {
      const tier = this.get(SLOT_SAMPLED_TIER);
      if (tier === TIER_REGION) counters.regionSamples++;
      else if (tier === TIER_INTERPRETER) counters.interpreterSamples++;
      this.set(SLOT_SAMPLED_TIER, 0);
    }
    return reason;
  }

  /** The guest has nothing to do: time to compile. */
  compileQueue(): void {
    this.regions?.compileQueue();
  }

  private handle(reason: number): TcgExit | undefined {
    this.counters.exits++;
    if (this.uncached !== 0) this.dropUncached();
    this.regions?.poll();
    switch (reason) {
      case EXIT_TRANSLATE:
        return this.translate();
      case EXIT_HOT:
        this.hot(this.get(SLOT_EXIT_ARG));
        return undefined;
      default:
        return this.get(SLOT_FAULT) !== 0 ? this.handleFault(reason) : undefined;
    }
  }

  private handleFault(reason = EXIT_FAULT): TcgExit | undefined {
    switch (this.get(SLOT_FAULT)) {
      case FAULT_EXCEPTION:
        this.counters.exceptions++;
        this.runtime.deliver_fault();
        return this.get(SLOT_FAULT) === FAULT_HOST
          ? this.handleHostFault(this.get(SLOT_EXIT_REASON))
          : undefined;
      case FAULT_SMC:
        this.retryAlone();
        return undefined;
      case FAULT_HOST:
        return this.handleHostFault(reason === EXIT_FAULT ? this.get(SLOT_EXIT_REASON) : reason);
      default:
        return undefined;
    }
  }

  private handleHostFault(reason: number): TcgExit | undefined {
    this.set(SLOT_FAULT, 0);
    this.set(SLOT_EXIT_REASON, 0);
    switch (reason) {
      case EXIT_SHUTDOWN:
        return SHUTDOWN;
      case EXIT_YIELD:
        return YIELD;
      case EXIT_DEBUG:
        return { kind: 'debug', reason: DEBUG_REASONS[this.get(SLOT_EXIT_ARG)] ?? 'breakpoint' };
      default:
        return undefined; // `run` looks at HALTED after the pending interrupts
    }
  }

  /** A store hit translated code, which is gone now: executes the instruction again in a block of its own. */
  private retryAlone(): void {
    this.counters.smcRetries++;
    this.set(SLOT_FAULT, 0);
    const flags = this.get(SLOT_RESTORE) >>> 16;
    if (flags !== 0) this.writeSlot(CC_OP, BigInt(flags));
    this.set(SLOT_KEY, this.get(SLOT_KEY) | HF_ONE_INSN);
  }

  // ---- translation

  private translate(): TcgExit | undefined {
    if (this.get(SLOT_FAULT) !== 0) return this.handleFault();
    const host = this.runtime.tb_code_address() >>> 0;
    if (host === 0) return this.handleFault();
    if (host === 0xffffffff) {
      this.translateUncached();
      return undefined;
    }
    const tb = this.translator.translate(host);
    if (tb !== 0) {
      this.runtime.jc_insert(tb);
      return undefined;
    }
    const second = this.runtime.tb_fault_next_page();
    if (second === -1) this.translateUncached();
    return this.get(SLOT_FAULT) !== 0 ? this.handleFault() : undefined;
  }

  private translateUncached(): void {
    const physical = this.runtime.code_physical(this.readSlot(SLOT_RIP));
    const tb = this.translator.translateUncached((offset) => this.readPhysicalByte(physical + offset));
    this.uncached = tb;
    if (tb !== 0) this.runtime.jc_insert(tb);
    else this.runtime.raise_gp(0n); // beyond the end of the code segment
  }

  private dropUncached(): void {
    this.runtime.jc_remove_tb(this.uncached);
    this.uncached = 0;
  }

  /** A byte of guest-physical memory, from RAM or a device. */
  readPhysicalByte(address: number): number {
    const host = this.memory.hostAddress(address);
    return host === 0 ? this.bus.readMmio(address, 1) & 0xff : this.memory.u8[host]!;
  }

  private hot(tb: number): void {
    if ((this.log.mask & LOG_EXEC) !== 0) this.trace(tb);
    else if (this.regions === undefined) this.words[(tb + TB_HOT) >>> 2] = NEVER_HOT;
    else this.regions.hot(tb);
    if (this.regions?.full === true) this.cache.flushAll();
  }

  /** `-d exec`: every block reports itself as hot and is let through once. */
  private trace(tb: number): void {
    const w = this.words;
    if (this.lastTraced !== 0) w[(this.lastTraced + TB_HOT) >>> 2] = 1;
    w[(tb + TB_HOT) >>> 2] = 2;
    this.lastTraced = tb;
    const flags = (this.get(SLOT_KEY) >>> 0).toString(16);
    this.log.write(
      `Trace 0: ${hex64(this.get(SLOT_KEY + 4), 0).slice(0, 8)}/${hex64(this.get(SLOT_RIP + 4), this.get(SLOT_RIP))}/${flags}\n`,
    );
  }

  /** `-d exec` needs every block to come back to the loop: makes new blocks do so. To be called before the guest runs. */
  traceBlocks(): void {
    this.translator.hotThreshold = 1;
  }

  /** Bytes at these addresses of the shared memory were or will be changed by anybody: blocks from them die. */
  codeWritten(hostAddr: number, size: number): void {
    this.counters.codeWrites++;
    // a region that is running holds a copy of the old code: it must not stay in a loop
    if (this.cache.invalidate(hostAddr, size) !== 0) {
      Atomics.or(this.words, this.base + (SLOT_EXIT_REQUEST >> 2), REQUEST_INTERRUPT);
    }
  }

  /** Guest RAM was written by a device, a loader or a debugger. `ramOffset` counts from the start of the RAM buffer. */
  ramWritten(ramOffset: number, size: number): void {
    const start = this.memory.ramAddress(ramOffset);
    const end = start + size;
    for (let page = (start & ~0xfff) >>> 0; page < end; page += 0x1000) {
      if (!this.cache.hasCode(page)) continue;
      const from = Math.max(start, page);
      this.codeWritten(from, Math.min(end, page + 0x1000) - from);
    }
  }

  /** Forgets all translations (monitor, loading a snapshot). Not to be called while `run` executes. */
  flushTranslations(): void {
    this.cache.flushAll();
    this.lastTraced = 0;
  }

  /** Ends the background compiler. The vCPU must not run afterwards. */
  dispose(): void {
    this.regions?.dispose();
  }

  // ---- reports

  private logGuestError(code: number, argument: number): void {
    if ((this.log.mask & LOG_GUEST_ERRORS) === 0) return;
    this.log.write(
      `guest error ${code} (0x${argument.toString(16)}) at ${hex64(this.get(SLOT_RIP + 4), this.get(SLOT_RIP))}\n`,
    );
  }

  private logInterrupt(vector: number, kind: number): void {
    if ((this.log.mask & LOG_INT) === 0) return;
    this.log.write(
      `int v=${vector.toString(16).padStart(2, '0')} kind=${kind.toString(16)} pc=${hex64(this.get(SLOT_RIP + 4), this.get(SLOT_RIP))}\n`,
    );
  }

  private logMmu(register: number, lo: number, hi: number, error: number): void {
    const value = hex64(hi, lo);
    this.log.write(
      register === 2
        ? `page fault: address=${value} error=${error.toString(16)} pc=${hex64(this.get(SLOT_RIP + 4), this.get(SLOT_RIP))}\n`
        : `CR${register} update: CR${register}=0x${value}\n`,
    );
  }

  /** The text of `info jit`. */
  report(): string {
    return formatCounters(this.counters, {
      tlbFills: this.runtime.tlb_fill_count() >>> 0,
      tlbFlushes: this.runtime.tlb_flush_count() >>> 0,
    });
  }

  /** Physical address of a linear address under the present page tables, undefined if unmapped. No side effects. */
  translateAddress(linear: bigint): number | undefined {
    const physical = this.runtime.debug_translate(BigInt.asIntN(64, linear));
    return physical < 0 ? undefined : physical;
  }

  /** Reads guest-virtual memory for a debugger; stops at the first unmapped page. */
  readVirtual(linear: bigint, length: number): Uint8Array {
    const out = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const physical = this.translateAddress(linear + BigInt(done));
      if (physical === undefined) break;
      const chunk = Math.min(length - done, 0x1000 - (physical & 0xfff));
      for (let i = 0; i < chunk; i++) out[done + i] = this.readPhysicalByte(physical + i);
      done += chunk;
    }
    return done === length ? out : out.slice(0, done);
  }

  /** Writes guest-virtual RAM for a debugger. Returns how many bytes were written. */
  writeVirtual(linear: bigint, bytes: Uint8Array): number {
    let done = 0;
    while (done < bytes.length) {
      const physical = this.translateAddress(linear + BigInt(done));
      if (physical === undefined) break;
      const host = this.memory.hostAddress(physical);
      if (host === 0) break;
      const chunk = Math.min(bytes.length - done, 0x1000 - (host & 0xfff));
      this.memory.u8.set(bytes.subarray(done, done + chunk), host);
      this.codeWritten(host, chunk);
      done += chunk;
    }
    return done;
  }
}
