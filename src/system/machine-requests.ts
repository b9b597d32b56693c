/** Carries out what the main thread asks of a machine. */

import type { RingCharBackend } from '../chardev/ring-backend.ts';
import type { AccessSize } from '../core/memory-region.ts';
import { KEY } from '../runtime/x86/layout.ts';
import { UserError } from '../util/errors.ts';
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
import { readRegisters, writeRegister } from './x86-registers.ts';

type Handlers = {
  [N in RequestName]: (params: MachineRequests[N]['params']) => MachineRequests[N]['result'];
};

/** Longest instruction (SDM Vol. 2A 2.3.11). */
const MAX_INSN = 15;

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
    const { lifecycle, board, vcpu } = machine;
    return {
      resume: () => act(() => lifecycle.resume()),
      pause: () => act(() => lifecycle.pause()),
      reset: () => act(() => lifecycle.requestReset('host-reset')),
      powerdown: () => act(() => board.pressPowerButton()),
      quit: () => act(() => lifecycle.quit()),
      read: ({ address, length, kind }) => this.#read(BigInt(address), length, kind),
      write: ({ address, hex, kind }) => act(() => this.#write(BigInt(address), fromHex(hex), kind)),
      registers: () => {
        const entries = Object.entries(readRegisters(vcpu)).map(([name, value]) => [name, String(value)]);
        return Object.fromEntries(entries) as Record<string, string>;
      },
      setRegister: ({ name, value }) => act(() => writeRegister(vcpu, name, BigInt(value))),
      info: ({ topic }) => describeMachine(machine, topic),
      log: ({ items }) => {
        machine.log.mask = logMask(items);
        return null;
      },
      nmi: () => act(() => vcpu.nmi()),
      disassemble: ({ address, count, kind }) => this.#disassemble(BigInt(address), count, kind),
      port: ({ port, size, value }) => {
        if (value === undefined) return board.io.read(port, size as AccessSize);
        board.io.write(port, size as AccessSize, value);
        return 0;
      },
      sendBreak: ({ serial }) => act(() => this.#serial[serial]?.sendBreak()),
    };
  }

  #read(address: bigint, length: number, kind: AddressKind): Uint8Array {
    const { board, vcpu } = this.#machine;
    if (kind === 'physical') {
      const bytes = new Uint8Array(length);
      board.memory.readBytes(Number(address), bytes);
      return bytes;
    }
    const bytes = vcpu.readVirtual(address, length);
    if (bytes.length < length) throw unmapped(address + BigInt(bytes.length));
    return bytes;
  }

  #write(address: bigint, bytes: Uint8Array, kind: AddressKind): void {
    const { board, vcpu } = this.#machine;
    if (kind === 'physical') {
      board.memory.writeBytes(Number(address), bytes);
      return;
    }
    const count = vcpu.writeVirtual(address, bytes);
    if (count < bytes.length) throw unmapped(address + BigInt(count));
  }

  #disassemble(address: bigint, count: number, kind: AddressKind): string {
    const { vcpu, target } = this.#machine;
    const flags = Number(vcpu.readSlot(KEY) & 0xffff_ffffn);
    const lines: string[] = [];
    let at = address;
    for (let i = 0; i < count; i++) {
      const bytes = kind === 'physical' ? this.#read(at, MAX_INSN, kind) : vcpu.readVirtual(at, MAX_INSN);
      if (bytes.length === 0) break;
      const { text, length } = target.disassemble(bytes, at, flags);
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
