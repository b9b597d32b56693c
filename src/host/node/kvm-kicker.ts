/** Gets vCPU 0 of KVM out of the guest. In a file of its own: most machines do not need it. */
import type { KickWord } from '../../accel/accelerator.ts';
import { KvmThreads } from '../../accel/kvm/kvm-threads.ts';
import { loadKvmSystem } from './kvm-system.ts';

export function kvmKicker(kick: KickWord): () => void {
  const threads = new KvmThreads(kick.buffer, loadKvmSystem());
  return () => {
    threads.request(kick.bits);
    threads.kick(0);
  };
}
