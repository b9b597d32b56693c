/** Entry of the I/O thread: drives of a machine, away from the machine's thread. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { BlockService } from '../../block/io/block-service.ts';
import type { BlockReply, BlockRequest } from '../../block/io/protocol.ts';
import { P9Server } from '../../fsdev/p9-server.ts';
import { NodeBlockHost } from './block/node-block-host.ts';
import { saveCodeCache } from './bundle-loader.ts';
import { openLocalShare } from './fsdev/local-share.ts';
import type { SecurityModel } from './fsdev/security-model.ts';

export interface BlockWorkerData {
  readonly channel: SharedArrayBuffer;
}

const { channel } = workerData as BlockWorkerData;
const port = parentPort!;

const service: BlockService = new BlockService(channel, new NodeBlockHost(), {
  reply: (message: BlockReply) => port.postMessage(message),
  pollMessages() {
    // The thread sleeps outside its event loop: messages are fetched.
    for (;;) {
      const received = receiveMessageOnPort(port) as { message: BlockRequest } | undefined;
      if (received === undefined) return;
      service.receive(received.message);
    }
  },
  openShare(config) {
    const options = { ...config, securityModel: config.securityModel as SecurityModel };
    return new P9Server(openLocalShare(options, config.option));
  },
  turn: () => new Promise((done) => setImmediate(done)),
  closed: saveCodeCache,
  reportBug: (error) => console.error('block I/O:', error),
});

void service.run().then(() => port.close());
