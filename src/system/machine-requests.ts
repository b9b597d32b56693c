/** Carries out what the main thread asks of a machine. */

import type { RingCharBackend } from '../chardev/ring-backend.ts';
import type { AccessSize } from '../core/memory-region.ts';
import { UserError } from '../util/errors.ts';
import { runControlCommand } from './control-commands.ts';
import { logMask } from './log-items.ts';
import type { Machine } from './machine.ts';
import { describeMachine } from './machine-info.ts';
import type {
  AddressKind,
  MachineMessage,
  MachineRequests,
  RequestMessage,
  RequestName,
} from './protocol.ts';
import { codeFlags, writeRegister } from './x86-registers.ts';

type Handlers = {
  [N in RequestName]: (params: MachineRequests[N]['params']) => MachineRequests[N]['result'];
};

/** Longest instruction (SDM Vol. 2A 2.3.11). */
const MAX_INSN = 15;
const PAGE_BYTES = 4096;

/** Runs an action that has no result. */
function act(action: () => unknown): null {
  action();
  return null;
}

export class MachineRequestHandler {
  readonly #machine: Machine;
  readonly #serial: ReadonlyArray<RingCharBackend | undefined>;
  readonly #handlers: Handlers;

  constructor(machine: Machine, serial: ReadonlyArray<RingCharBackend | undefined>) {
    this.#machine = machine;
    this.#serial = serial;
    this.#handlers = this.#createHandlers();
  }

  /** The answer to a message of the control channel. A user's mistake is an answer, too. */
  handle(message: unknown): MachineMessage {
    const { id, name, params } = message as RequestMessage;
    try {
      const handler = this.#handlers[name] as (params: unknown) => unknown;
      return { kind: 'reply', id, value: handler(params) };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return { kind: 'error', id, code: error.code, message: error.message };
    }
  }

  #createHandlers(): Handlers {
    const machine = this.#machine;
    const { lifecycle, board } = machine;
    return {
      resume: () => act(() => lifecycle.resume()),
      pause: () => act(() => lifecycle.pause()),
      reset: () => act(() => lifecycle.requestReset('host-reset')),
      powerdown: () => act(() => board.pressPowerButton()),
      quit: () => act(() => lifecycle.quit()),
      read: ({ address, length, kind }) => this.#read(BigInt(address), length, kind),
      write: ({ address, hex, kind }) => act(() => this.#write(BigInt(address), fromHex(hex), kind)),
      registers: () => {
        const entries = Object.entries(machine.monitorCpu.readRegisters()).map(([name, value]) => [
          name,
          String(value),
        ]);
        return Object.fromEntries(entries) as Record<string, string>;
      },
      setRegister: ({ name, value }) => act(() => writeRegister(machine.monitorCpu, name, BigInt(value))),
      info: ({ topic }) => describeMachine(machine, topic),
      log: ({ items }) => {
        machine.log.mask = logMask(items);
        return null;
      },
      accelerator: ({ name }) =>
        act(() =>
          machine.switchAccelerator(
            name === 'tcg' ? { kind: 'tcg', tier: 'auto' } : { kind: 'kvm', irqchip: machine.kvmIrqchip },
          ),
        ),
      nmi: () =>
        act(() => {
          for (const cpu of machine.accelerator.vcpus) cpu.nmi();
        }),
      cpu: ({ index }) => act(() => machine.selectCpu(index)),
      disassemble: ({ address, count, kind }) => this.#disassemble(BigInt(address), count, kind),
      port: ({ port, size, value }) => {
        if (value === undefined) return board.io.read(port, size as AccessSize);
        board.io.write(port, size as AccessSize, value);
        return 0;
      },
      control: ({ command, args }) => runControlCommand(machine, command, args),
      screen: () => {
        const { vga } = board;
        if (vga === undefined) return undefined;
        vga.update();
        const { width, height, pixels } = vga.surface;
        return { width, height, pixels: pixels.slice(), text: vga.text() };
      },
      sendKeys: ({ keys, holdMs }) => act(() => machine.keyboard.press(keys, holdMs)),
      sendBreak: ({ serial }) => act(() => this.#serial[serial]?.sendBreak()),
    };
  }

  #read(address: bigint, length: number, kind: AddressKind): Uint8Array {
    if (kind === 'physical') {
      const bytes = new Uint8Array(length);
      this.#machine.board.memory.readBytes(Number(address), bytes);
      return bytes;
    }
    const bytes = this.#readVirtual(address, length);
    if (bytes.length < length) throw unmapped(address + BigInt(bytes.length));
    return bytes;
  }

  /** Stops at the first unmapped page. */
  #readVirtual(linear: bigint, length: number): Uint8Array {
    const out = new Uint8Array(length);
    const done = this.#eachPage(linear, length, (physical, at, count) =>
      this.#machine.board.memory.readBytes(physical, out.subarray(at, at + count)),
    );
    return done === length ? out : out.slice(0, done);
  }

  #write(address: bigint, bytes: Uint8Array, kind: AddressKind): void {
    const { memory } = this.#machine.board;
    if (kind === 'physical') {
      memory.writeBytes(Number(address), bytes);
      return;
    }
    const count = this.#eachPage(address, bytes.length, (physical, at, n) =>
      memory.writeBytes(physical, bytes.subarray(at, at + n)),
    );
    if (count < bytes.length) throw unmapped(address + BigInt(count));
  }

  /** Calls `action` for the parts of a virtual range that lie within one page; returns how many bytes are mapped. */
  #eachPage(
    linear: bigint,
    length: number,
    action: (physical: number, at: number, count: number) => void,
  ): number {
    let done = 0;
    while (done < length) {
      const physical = this.#machine.monitorCpu.translateAddress(linear + BigInt(done));
      if (physical === undefined) break;
      const count = Math.min(length - done, PAGE_BYTES - (physical % PAGE_BYTES));
      action(physical, done, count);
      done += count;
    }
    return done;
  }

  #disassemble(address: bigint, count: number, kind: AddressKind): string {
    const { monitorCpu, disassembler } = this.#machine;
    const flags = codeFlags(monitorCpu.readRegisters());
    const lines: string[] = [];
    let at = address;
    for (let i = 0; i < count; i++) {
      const bytes = kind === 'physical' ? this.#read(at, MAX_INSN, kind) : this.#readVirtual(at, MAX_INSN);
      if (bytes.length === 0) break;
      const { text, length } = disassembler.disassemble(bytes, at, flags);
      lines.push(`0x${at.toString(16).padStart(8, '0')}:  ${text}`);
      at += BigInt(Math.max(1, length));
    }
    return lines.join('\n');
  }
}

function unmapped(address: bigint): UserError {
  return new UserError('UnmappedAddress', `virtual address 0x${address.toString(16)} is not mapped`);
}

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) =>
    Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16),
  );
}
