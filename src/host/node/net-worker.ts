/** Entry of the network thread: back ends and the user-mode stack, in an event loop of their own. */
import { parentPort, workerData } from 'node:worker_threads';
import type { NetReply, NetRequest } from '../../net/net-protocol.ts';
import { NetWorkerMain } from '../../net/net-worker-main.ts';
import { NetDoorbell } from '../../net/nic-channel.ts';
import { NodeNetHost } from './net/node-net-host.ts';

export interface NetWorkerData {
  readonly doorbell: SharedArrayBuffer;
}

const port = parentPort!;
const main = new NetWorkerMain({
  host: new NodeNetHost(),
  doorbell: new NetDoorbell((workerData as NetWorkerData).doorbell),
  reply: (message: NetReply) => port.postMessage(message),
  nowUs: () => Date.now() * 1000,
  turn: () => new Promise((done) => setImmediate(done)),
});
port.on('message', (request: NetRequest) => {
  void main.receive(request).then((isEnd) => {
    if (isEnd) port.close();
  });
});
void main.run();
