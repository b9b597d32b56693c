// A worker whose vCPU spins until it is kicked; it says where to kick, and then with what it came back.

import { parentPort } from 'node:worker_threads';
import { createBareVm } from './bare-vm.cases.ts';

const { system, vcpu } = createBareVm('self: jmp self', { bits: 32 });
parentPort?.postMessage({ threadId: system.threadId(), runAddress: vcpu.runAddress });
parentPort?.postMessage(vcpu.enter());
