/** The qtest protocol of a machine without a board, on the main thread: nothing answers at any address. */
import type { CharStream } from '../chardev/char-stream.ts';
import { AddressSpace } from '../core/address-space.ts';
import type { CharBackend, CharFrontend } from '../core/char-backend.ts';
import { GuestRam } from '../core/guest-ram.ts';
import { MemoryRegion } from '../core/memory-region.ts';
import { TimerQueue } from '../core/timer.ts';
import { QtestClock } from './qtest-clock.ts';
import { QtestServer } from './qtest-server.ts';

const NEWLINE = 10;

/** A host stream as a device's back end; lines are sent whole. */
class StreamBackend implements CharBackend {
  readonly #stream: CharStream;
  #line: number[] = [];

  constructor(stream: CharStream) {
    this.#stream = stream;
  }

  write(byte: number): boolean {
    this.#line.push(byte);
    if (byte !== NEWLINE) return true;
    this.#stream.write(Uint8Array.from(this.#line));
    this.#line = [];
    return true;
  }

  connect(frontend: CharFrontend): void {
    this.#stream.connect({
      input: (bytes) => {
        for (const byte of bytes) frontend.receive(byte);
      },
      writable: () => {},
    });
  }
}

export function serveEmptyQtest(stream: CharStream): void {
  const ram = new GuestRam(new Uint8Array(0));
  const space = (name: string, size: number): AddressSpace =>
    new AddressSpace(name, MemoryRegion.container(name, size), ram);
  const clock = new QtestClock();
  new QtestServer(new StreamBackend(stream), {
    memory: space('memory', 2 ** 52),
    io: space('io', 0x10000),
    clock,
    timers: new TimerQueue(clock),
    irqLines: () => undefined,
    settle: () => {},
    log: () => {},
  });
}
