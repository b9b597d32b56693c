import { createRequire } from 'node:module';
import {
  type Bits,
  CODE,
  CODE_SIZE,
  CS_32,
  CS_64,
  DATA,
  DATA_SIZE,
  I_CS,
  I_RIP,
  I_VECTOR,
  IMAGE_SIZE,
  NO_VECTOR,
  type OracleCpu,
  READ_ONLY,
  READ_ONLY_SIZE,
  REGION,
  REGION_SIZE,
} from './image.ts';
import {
  ARGUMENTS,
  HOST,
  HOST_SIZE,
  INPUT,
  type NativeCode,
  nativeCode,
  OUTPUT,
  SIGALRM,
  SIGNAL_STACK,
  SIGNAL_STACK_SIZE,
  terminator,
} from './native-code.ts';

type Native = (...args: (number | bigint | string)[]) => number | bigint;

/** The part of koffi that is used here. */
interface Ffi {
  load(path: string): { func(prototype: string): Native };
  proto(text: string): object;
  call(address: bigint, type: object): void;
  view(address: bigint, length: number): ArrayBuffer;
}

const PROT_RW = 3;
const PROT_RWX = 7;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FIXED = 0x10;
const MAP_FIXED_NOREPLACE = 0x10_0000;
/** SA_SIGINFO | SA_ONSTACK | SA_NODEFER: the handler never returns to the kernel. */
const HANDLER_FLAGS = 0x4 | 0x0800_0000 | 0x4000_0000;
/** SIGILL SIGTRAP SIGBUS SIGFPE SIGSEGV. */
const SIGNALS = [4, 5, 7, 8, 11];
const SA_RESTART = 0x1000_0000;
const CLOCK_THREAD_CPUTIME_ID = 3;
const SIGEV_THREAD_ID = 4;
const TICK_NS = 300_000_000n;
const INT3 = 0xcc;

/** The FFI, or undefined where this host cannot run x86-64 Linux code natively. */
function loadFfi(): Ffi | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  try {
    return createRequire(import.meta.url)('koffi') as Ffi;
  } catch {
    return undefined;
  }
}

/**
 * The host's processor in user mode. Exceptions are signals that a handler of machine code turns into results, so no JavaScript
 * runs in a signal. One per process: it owns fixed addresses and the process's handlers.
 */
export class NativeCpu implements OracleCpu {
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  readonly code: Uint8Array;
  readonly data: Uint8Array;
  readonly readOnly: Uint8Array;
  private readonly native: NativeCode;
  private readonly ffi: Ffi;
  private readonly enterType: object;
  private readonly out32: DataView;
  private end = 0;
  private bits: Bits = 64;

  /** Undefined where the host is none that could be asked. Throws when the addresses are taken. */
  static create(): NativeCpu | undefined {
    const ffi = loadFfi();
    return ffi && new NativeCpu(ffi);
  }

  private constructor(ffi: Ffi) {
    this.ffi = ffi;
    const libc = ffi.load('libc.so.6');
    const mmap = libc.func('void *mmap(void *addr, size_t len, int prot, int flags, int fd, int64_t off)');
    const map = (at: number, size: number, protection: number, flags: number): void => {
      if (BigInt(mmap(BigInt(at), size, protection, MAP_PRIVATE_ANONYMOUS | flags, -1, 0)) !== BigInt(at))
        throw new Error(`cannot map 0x${at.toString(16)}`);
    };
    map(REGION, REGION_SIZE, 0, MAP_FIXED_NOREPLACE);
    map(HOST, HOST_SIZE, PROT_RWX, MAP_FIXED);
    map(CODE, CODE_SIZE, PROT_RWX, MAP_FIXED);
    map(DATA, DATA_SIZE, PROT_RW, MAP_FIXED);
    map(READ_ONLY, READ_ONLY_SIZE, PROT_RW, MAP_FIXED);
    const view = (at: number, size: number): Uint8Array => new Uint8Array(ffi.view(BigInt(at), size));
    this.input = view(INPUT, IMAGE_SIZE);
    this.output = view(OUTPUT, IMAGE_SIZE);
    this.out32 = new DataView(ffi.view(BigInt(OUTPUT), IMAGE_SIZE));
    this.code = view(CODE, CODE_SIZE);
    this.data = view(DATA, DATA_SIZE);
    this.readOnly = view(READ_ONLY, READ_ONLY_SIZE);
    this.native = nativeCode();
    view(HOST, 0x1000).set(this.native.code);
    this.enterType = ffi.proto('void oracle_enter()');
    this.code.fill(INT3);
    this.installHandlers(libc, new DataView(ffi.view(BigInt(ARGUMENTS), 0x200)));
  }

  /** The read-only page has been filled: from now on it is one. */
  protect(): void {
    const mprotect = this.ffi.load('libc.so.6').func('int mprotect(void *addr, size_t len, int prot)');
    mprotect(BigInt(READ_ONLY), READ_ONLY_SIZE, 1);
  }

  private installHandlers(libc: { func(prototype: string): Native }, at: DataView): void {
    const sigaction = libc.func('int sigaction(int sig, void *act, void *old)');
    const sigaltstack = libc.func('int sigaltstack(void *stack, void *old)');
    at.setBigUint64(0, BigInt(SIGNAL_STACK), true);
    at.setBigUint64(16, BigInt(SIGNAL_STACK_SIZE), true);
    sigaltstack(BigInt(ARGUMENTS), 0n);
    at.setBigUint64(0, BigInt(this.native.fault), true);
    at.setBigUint64(16, 0n, true);
    at.setUint32(136, HANDLER_FLAGS, true);
    for (const signal of SIGNALS) sigaction(signal, BigInt(ARGUMENTS), 0n);
    at.setUint32(136, HANDLER_FLAGS | SA_RESTART, true);
    sigaction(SIGALRM, BigInt(ARGUMENTS), 0n);
  }

  /** From now on a case that takes this thread more than some tenths of a second of CPU time ends with VECTOR_TIMEOUT. */
  limitTime(): void {
    const libc = this.ffi.load('libc.so.6');
    const at = new DataView(this.ffi.view(BigInt(ARGUMENTS), 0x200));
    const create = libc.func('int timer_create(int clock, void *event, void *timer)');
    const set = libc.func('int timer_settime(void *timer, int flags, void *value, void *old)');
    const timer = ARGUMENTS + 0x100;
    for (let i = 0; i < 64; i += 4) at.setUint32(i, 0, true);
    at.setUint32(8, SIGALRM, true);
    at.setUint32(12, SIGEV_THREAD_ID, true);
    at.setUint32(16, process.pid, true);
    if (Number(create(CLOCK_THREAD_CPUTIME_ID, BigInt(ARGUMENTS), BigInt(timer))) !== 0)
      throw new Error('timer_create failed');
    for (const offset of [0, 16]) {
      at.setBigUint64(offset, 0n, true);
      at.setBigUint64(offset + 8, TICK_NS, true);
    }
    set(at.getBigUint64(0x100, true), 0, BigInt(ARGUMENTS), 0n);
  }

  load(code: Uint8Array, at: number, bits: Bits): void {
    const offset = at - CODE;
    this.code.fill(INT3);
    this.code.set(code, offset);
    this.end = at + code.length;
    this.bits = bits;
    const tail = terminator(bits, this.end, this.native.leave);
    this.code.set(tail.subarray(0, CODE_SIZE - offset - code.length), offset + code.length);
  }

  run(): void {
    this.ffi.call(BigInt(this.native.enter), this.enterType);
    if (this.out32.getUint32(I_VECTOR, true) !== NO_VECTOR) return;
    this.out32.setUint32(I_RIP, this.end, true);
    this.out32.setUint32(I_RIP + 4, 0, true);
    this.out32.setUint32(I_CS, this.bits === 64 ? CS_64 : CS_32, true);
  }
}
