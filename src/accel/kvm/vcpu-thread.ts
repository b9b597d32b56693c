/** What the thread of a vCPU other than the first does: enters it whenever the machine thread lets it. */
import { KVM_RUN, RUN_IMMEDIATE_EXIT } from './bindings/common.ts';
import { ERRNO } from './ioctls/kvm-error.ts';
import type { KvmSystem } from './kvm-system.ts';
import { KvmThreads, REQUEST_SERVICE, REQUEST_STOP } from './kvm-threads.ts';

/** The first and only message to such a thread. */
export interface VcpuThreadStart {
  readonly index: number;
  readonly fd: number;
  readonly runAddress: number;
  readonly runSize: number;
  /** Of `KvmThreads`. */
  readonly threads: SharedArrayBuffer;
  /** The machine thread sleeps on this word when vCPU 0 is not in the guest. */
  readonly doorbell: { readonly words: Int32Array; readonly index: number };
}

/** Returns when the vCPU is to end. */
export function runVcpuThread(start: VcpuThreadStart, system: KvmSystem): void {
  const { index, fd, doorbell } = start;
  const threads = new KvmThreads(start.threads, () => system);
  threads.register(index, start.runAddress);
  const run = system.view(start.runAddress, start.runSize);
  while (threads.waitForRun(index)) {
    const result = system.ioctl(fd, KVM_RUN, 0);
    run[RUN_IMMEDIATE_EXIT] = 0;
    // Waiting for its start-up IPI a vCPU comes back with EAGAIN now and then.
    if (result === -ERRNO.EAGAIN && (threads.requests & REQUEST_STOP) === 0) continue;
    threads.handBack(index, result);
    threads.request(REQUEST_SERVICE);
    Atomics.add(doorbell.words, doorbell.index, 1);
    Atomics.notify(doorbell.words, doorbell.index);
    threads.kick(0);
  }
}
