/** Entry of the thread of a vCPU of KVM. */
import { workerData } from 'node:worker_threads';
import { runVcpuThread, type VcpuThreadStart } from '../../accel/kvm/vcpu-thread.ts';
import { loadKvmSystem } from './kvm-system.ts';

runVcpuThread(workerData as VcpuThreadStart, loadKvmSystem());
