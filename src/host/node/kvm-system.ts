/** System calls for KVM through the npm package `koffi`, which is optional: without it `tcg` works. */
import { createRequire } from 'node:module';
import type { KvmSystem, MappedPages } from '../../accel/kvm/kvm-system.ts';
import { UserError } from '../../util/errors.ts';

type NativeFunction = (...args: unknown[]) => number;

/** What is used of koffi. */
interface Koffi {
  load(path: string | null): {
    func(name: string, result: string, parameters: readonly string[]): NativeFunction;
    symbol(name: string): unknown;
  };
  address(value: unknown): number | bigint;
  view(address: bigint, sizeBytes: number): ArrayBuffer;
  errno(): number;
}

const O_RDWR_CLOEXEC = 0x8_0002;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const EFD_NONBLOCK_CLOEXEC = 0x8_0800;
const SA_RESTART = 0x1000_0000;
const SIG_BLOCK = 0;
const SIG_UNBLOCK = 1;
/** A real-time signal that nothing else uses: 34 is the first one glibc leaves to programs. */
const KICK_SIGNAL = 38;
const TIMER_SIGNAL = 39;

/** glibc's struct sigaction on x86-64: handler, mask of 128 bytes, flags, restorer. */
const SIGACTION_SIZE = 152;
const SIGACTION_FLAGS = 136;
const SIGSET_SIZE = 128;
/** What the kernel knows of it. */
const KERNEL_SIGSET_SIZE = 8;

/** koffi looks for the file that fits this host; where it nearly always is it needs not look. */
const USUAL_FILE = '@koromix/koffi-linux-x64/linux_x64/koffi.node';

function loadKoffi(): Koffi {
  const require = createRequire(import.meta.url);
  try {
    return require(USUAL_FILE) as Koffi;
  } catch {
    // another C library, or another way of installing
  }
  try {
    return require('koffi') as Koffi;
  } catch (cause) {
    throw new UserError(
      'KvmNeedsKoffi',
      'kvm needs the npm package "koffi", which is not installed: npm install koffi',
      { cause },
    );
  }
}

/** `UserError` where there is no KVM to speak to: another system, another processor, no koffi. */
export function loadKvmSystem(): KvmSystem {
  if (process.platform !== 'linux')
    throw new UserError('KvmUnavailable', `kvm needs Linux; this is ${process.platform}`);
  if (process.arch !== 'x64')
    throw new UserError('KvmUnavailable', `kvm is supported on x86-64 hosts; this is ${process.arch}`);
  return new KoffiSystem(loadKoffi());
}

class KoffiSystem implements KvmSystem {
  readonly ioctl: KvmSystem['ioctl'];
  readonly ioctlBytes: KvmSystem['ioctlBytes'];
  readonly #koffi: Koffi;
  readonly #open: NativeFunction;
  readonly #close: NativeFunction;
  readonly #mmap: NativeFunction;
  readonly #eventfd: NativeFunction;
  readonly #read: NativeFunction;
  readonly #write: NativeFunction;
  readonly #syscall: NativeFunction;
  readonly #timerCreate: NativeFunction;
  readonly #timerSet: NativeFunction;
  readonly #sigtimedwait: NativeFunction;
  readonly #sigmask: NativeFunction;
  readonly signalMask = new Uint8Array(KERNEL_SIGSET_SIZE);
  readonly #times = new BigInt64Array(4);
  readonly #noTime = new BigInt64Array(2);
  readonly #timerSignals = signalSet(TIMER_SIGNAL);
  readonly #pid = process.pid;
  readonly #count = new BigUint64Array(1);

  constructor(koffi: Koffi) {
    this.#koffi = koffi;
    const libc = koffi.load(null);
    const ioctlNumber = libc.func('ioctl', 'int', ['int', 'unsigned long', 'intptr_t']);
    const ioctlPointer = libc.func('ioctl', 'int', ['int', 'unsigned long', 'void *']);
    this.ioctl = (fd, request, argument) => {
      const result = ioctlNumber(fd, request, argument);
      return result < 0 ? -koffi.errno() : result;
    };
    this.ioctlBytes = (fd, request, bytes) => {
      const result = ioctlPointer(fd, request, bytes);
      return result < 0 ? -koffi.errno() : result;
    };
    this.#open = libc.func('open', 'int', ['str', 'int']);
    this.#close = libc.func('close', 'int', ['int']);
    this.#mmap = libc.func('mmap', 'intptr_t', ['intptr_t', 'size_t', 'int', 'int', 'int', 'long']);
    this.#eventfd = libc.func('eventfd', 'int', ['unsigned int', 'int']);
    this.#read = libc.func('read', 'intptr_t', ['int', 'void *', 'size_t']);
    this.#write = libc.func('write', 'intptr_t', ['int', 'void *', 'size_t']);
    this.#syscall = libc.func('syscall', 'long', ['long', 'long', 'long', 'long']);
    // The C library has timers in different places; the kernel's calls are always there.
    this.#timerCreate = libc.func('syscall', 'long', ['long', 'long', 'void *', 'void *']);
    this.#timerSet = libc.func('syscall', 'long', ['long', 'long', 'long', 'void *', 'void *']);
    this.#sigtimedwait = libc.func('syscall', 'long', ['long', 'void *', 'void *', 'void *', 'long']);
    this.#sigmask = libc.func('pthread_sigmask', 'int', ['int', 'void *', 'void *']);
    this.#installKickHandler(libc);
  }

  open(path: string): number {
    return this.#result(this.#open(path, O_RDWR_CLOEXEC));
  }

  close(fd: number): void {
    this.#close(fd);
  }

  map(fd: number, sizeBytes: number): MappedPages | number {
    const address = Number(this.#mmap(0, sizeBytes, PROT_READ_WRITE, MAP_SHARED, fd, 0));
    if (address === -1) return -this.#koffi.errno();
    return { address, bytes: this.view(address, sizeBytes) };
  }

  view(address: number, sizeBytes: number): Uint8Array {
    return new Uint8Array(this.#koffi.view(BigInt(address), sizeBytes));
  }

  addressOf(bytes: Uint8Array): number {
    return Number(this.#koffi.address(bytes));
  }

  createEventFd(): number {
    return this.#result(this.#eventfd(0, EFD_NONBLOCK_CLOEXEC));
  }

  signalEventFd(fd: number): void {
    this.#count[0] = 1n;
    this.#write(fd, this.#count, 8);
  }

  takeEventFd(fd: number): number {
    return Number(this.#read(fd, this.#count, 8)) === 8 ? Number(this.#count[0]) : 0;
  }

  threadId(): number {
    return Number(this.#syscall(GETTID, 0, 0, 0));
  }

  interrupt(threadId: number): void {
    this.#syscall(TGKILL, this.#pid, threadId, KICK_SIGNAL);
  }

  createTimer(): number {
    const before = new Uint8Array(SIGSET_SIZE);
    this.#sigmask(SIG_BLOCK, signalSet(TIMER_SIGNAL), before);
    this.signalMask.set(before.subarray(0, KERNEL_SIGSET_SIZE));
    // an earlier timer of this thread's has blocked it already
    this.signalMask[(TIMER_SIGNAL - 1) >> 3]! &= ~(1 << ((TIMER_SIGNAL - 1) & 7));
    // struct sigevent: value, signal number, how, thread
    const event = new Int32Array(16);
    event.set([0, 0, TIMER_SIGNAL, SIGEV_THREAD_ID, this.threadId()]);
    const timer = new Int32Array(1);
    const result = this.#timerCreate(TIMER_CREATE, CLOCK_MONOTONIC, event, timer);
    return result < 0 ? -this.#koffi.errno() : timer[0]!;
  }

  setTimer(timer: number, aheadNs: number): void {
    // struct itimerspec: interval, value
    this.#times[2] = BigInt(Math.floor(aheadNs / 1e9));
    this.#times[3] = BigInt(Math.floor(aheadNs % 1e9));
    this.#timerSet(TIMER_SETTIME, timer, 0, this.#times, null);
  }

  takeTimerSignal(): void {
    this.#sigtimedwait(RT_SIGTIMEDWAIT, this.#timerSignals, null, this.#noTime, KERNEL_SIGSET_SIZE);
  }

  deleteTimer(timer: number): void {
    this.#syscall(TIMER_DELETE, timer, 0, 0);
  }

  #result(value: number): number {
    return value < 0 ? -this.#koffi.errno() : value;
  }

  /**
   * The kick signal needs a handler, or it would end the process. It runs no JavaScript: a harmless function of the C library that
   * takes an int serves. SA_RESTART keeps other system calls from noticing; KVM_RUN returns EINTR all the same.
   */
  #installKickHandler(libc: ReturnType<Koffi['load']>): void {
    const sigaction = libc.func('sigaction', 'int', ['int', 'void *', 'void *']);
    const action = new Uint8Array(SIGACTION_SIZE);
    const view = new DataView(action.buffer);
    view.setBigUint64(0, BigInt(this.#koffi.address(libc.symbol('abs'))), true);
    view.setUint32(SIGACTION_FLAGS, SA_RESTART, true);
    sigaction(KICK_SIGNAL, action, null);
    this.#sigmask(SIG_UNBLOCK, signalSet(KICK_SIGNAL), null);
  }
}

/** System call numbers of x86-64. */
const GETTID = 186;
const TGKILL = 234;
const RT_SIGTIMEDWAIT = 128;
const TIMER_CREATE = 222;
const TIMER_SETTIME = 223;
const TIMER_DELETE = 226;

const CLOCK_MONOTONIC = 1;
const SIGEV_THREAD_ID = 4;

function signalSet(signal: number): Uint8Array {
  const set = new Uint8Array(SIGSET_SIZE);
  set[(signal - 1) >> 3] = 1 << ((signal - 1) & 7);
  return set;
}
