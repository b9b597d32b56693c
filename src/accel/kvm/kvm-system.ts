/** What the KVM layer needs of the operating system: the only way in which it touches the host. */

/** Pages mapped into this process. */
export interface MappedPages {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/**
 * System calls by number and file descriptor. Calls give their result, or the negated error number; nothing here throws.
 * Descriptors, addresses and thread ids are plain numbers that mean the same in every thread of the process.
 */
export interface KvmSystem {
  open(path: string): number;
  close(fd: number): void;
  /** An ioctl whose argument is a number (or which has none). */
  ioctl(fd: number, request: number, argument: number): number;
  /** An ioctl whose argument points to `bytes`, which the kernel reads, writes or both. */
  ioctlBytes(fd: number, request: number, bytes: Uint8Array): number;
  /** Maps the first `sizeBytes` of `fd`, shared; a negated error number on failure. */
  map(fd: number, sizeBytes: number): MappedPages | number;
  /** The same pages as another thread of this process sees them. */
  view(address: number, sizeBytes: number): Uint8Array;
  /** Address of the first byte in this process; the buffer must be one that never moves (shared, or a wasm memory's). */
  addressOf(bytes: Uint8Array): number;
  /** An event counter of the kernel, non-blocking. */
  createEventFd(): number;
  /** Adds one. */
  signalEventFd(fd: number): void;
  /** The count, which becomes zero; 0 if nothing happened. */
  takeEventFd(fd: number): number;
  /** The calling thread. */
  threadId(): number;
  /**
   * A timer whose signal waits until the calling thread is in a system call that lets it through (`signalMask`), which it then
   * interrupts; a negated error number on failure. One per thread.
   */
  createTimer(): number;
  /** Fires once, after `aheadNs`; 0: not at all. */
  setTimer(timer: number, aheadNs: number): void;
  /** Forgets that the calling thread's timer has fired. */
  takeTimerSignal(): void;
  deleteTimer(timer: number): void;
  /** The signals that are held back during KVM_RUN (a bit per signal, 8 bytes): all but those that are to interrupt it. */
  readonly signalMask: Uint8Array;
  /** Interrupts a blocking system call of a thread of this process with a signal that does nothing else. */
  interrupt(threadId: number): void;
}
