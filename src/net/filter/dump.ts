/** `filter-dump`: frames into a pcap file (the format of tcpdump, version 2.4, microseconds). */
import type { FrameMeta } from '../../core/net-backend.ts';
import { completeFrame } from '../../core/net-offload.ts';
import type { NetFilter } from '../net-client.ts';

const MAGIC = 0xa1b2c3d4;
const LINKTYPE_ETHERNET = 1;
const HEADER_BYTES = 24;
const RECORD_BYTES = 16;
const FLUSH_BYTES = 65536;

export interface DumpFile {
  write(bytes: Uint8Array): void;
  close(): void;
}

export class DumpFilter implements NetFilter {
  readonly kind = 'filter-dump';
  readonly id: string;
  readonly netdev: string;
  readonly #file: DumpFile;
  readonly #maxBytes: number;
  readonly #nowUs: () => number;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;

  /** Of each frame the first `maxBytes` are kept; `nowUs` is civil time. */
  constructor(id: string, netdev: string, file: DumpFile, maxBytes: number, nowUs: () => number) {
    this.id = id;
    this.netdev = netdev;
    this.#file = file;
    this.#maxBytes = maxBytes;
    this.#nowUs = nowUs;
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    header.setUint32(0, MAGIC, true);
    header.setUint16(4, 2, true);
    header.setUint16(6, 4, true);
    header.setUint32(16, maxBytes, true);
    header.setUint32(20, LINKTYPE_ETHERNET, true);
    file.write(new Uint8Array(header.buffer));
  }

  pass(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    completeFrame(frame, meta, (complete) => {
      this.#record(complete);
      return true;
    });
    return true;
  }

  /** What is not yet in the file goes there; called when the thread has nothing else to do. */
  flush(): void {
    for (const record of this.#waiting) this.#file.write(record);
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  close(): void {
    this.flush();
    this.#file.close();
  }

  #record(frame: Uint8Array): void {
    const kept = Math.min(frame.length, this.#maxBytes);
    const record = new Uint8Array(RECORD_BYTES + kept);
    const view = new DataView(record.buffer);
    const nowUs = this.#nowUs();
    view.setUint32(0, Math.floor(nowUs / 1e6), true);
    view.setUint32(4, Math.floor(nowUs % 1e6), true);
    view.setUint32(8, kept, true);
    view.setUint32(12, frame.length, true);
    record.set(frame.subarray(0, kept), RECORD_BYTES);
    this.#waiting.push(record);
    this.#waitingBytes += record.length;
    if (this.#waitingBytes > FLUSH_BYTES) this.flush();
  }
}
