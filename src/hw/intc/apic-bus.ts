/** The bus between I/O APICs, message-signalled interrupts and local APICs (SDM Vol. 3A 10.6.2, 10.11). */
import type { MsiSink } from '../../core/cpu-ports.ts';

/** Delivery modes of interrupt messages (SDM Vol. 3A 10.6.1). */
export const DELIVERY_FIXED = 0;
export const DELIVERY_LOWEST = 1;
export const DELIVERY_SMI = 2;
export const DELIVERY_NMI = 4;
export const DELIVERY_INIT = 5;
export const DELIVERY_STARTUP = 6;
export const DELIVERY_EXTINT = 7;

export interface ApicMessage {
  /** 8 bits from I/O APICs, MSIs and xAPIC commands (255 is broadcast), 32 bits from x2APIC ones (2^32 − 1). */
  readonly destination: number;
  readonly isLogical: boolean;
  readonly deliveryMode: number;
  readonly vector: number;
  readonly isLevel: boolean;
}

/** A local APIC as the bus sees it. */
export interface ApicBusAgent {
  /** Whether the message addresses it. */
  accepts(destination: number, isLogical: boolean): boolean;
  deliver(deliveryMode: number, vector: number, isLevel: boolean): void;
  /** What lowest-priority delivery compares. */
  arbitrationPriority(): number;
}

export const BROADCAST_X2APIC = 0xffffffff;

/** SDM Vol. 3A 10.11: the address and the data that stand for a message. */
export function msiOf({ destination, isLogical, deliveryMode, vector, isLevel }: ApicMessage): {
  readonly address: number;
  readonly data: number;
} {
  return {
    address: (0xfee0_0000 | ((destination & 0xff) << 12) | (isLogical ? 4 : 0)) >>> 0,
    data: vector | (deliveryMode << 8) | (isLevel ? 0xc000 : 0),
  };
}

export class ApicBus implements MsiSink {
  readonly #agents: ApicBusAgent[] = [];
  readonly #elsewhere: () => MsiSink | undefined;
  readonly #eoiListeners: Array<(vector: number) => void> = [];

  /** What `elsewhere` gives takes all messages: the local APICs that count are not on this bus. */
  constructor(elsewhere: () => MsiSink | undefined = () => undefined) {
    this.#elsewhere = elsewhere;
  }

  attach(agent: ApicBusAgent): void {
    this.#agents.push(agent);
  }

  get agents(): readonly ApicBusAgent[] {
    return this.#agents;
  }

  /** An I/O APIC listens for the EOI messages of level-triggered interrupts. */
  onEoi(listener: (vector: number) => void): void {
    this.#eoiListeners.push(listener);
  }

  broadcastEoi(vector: number): void {
    for (const listener of this.#eoiListeners) listener(vector);
  }

  send(message: ApicMessage): void {
    const { destination, isLogical, deliveryMode, vector, isLevel } = message;
    const elsewhere = this.#elsewhere();
    if (elsewhere !== undefined) {
      const { address, data } = msiOf(message);
      elsewhere.sendMsi(address, data);
      return;
    }
    if (deliveryMode === DELIVERY_LOWEST) {
      this.#sendLowest(message);
      return;
    }
    for (const agent of this.#agents) {
      if (agent.accepts(destination, isLogical)) agent.deliver(deliveryMode, vector, isLevel);
    }
  }

  /** SDM Vol. 3A 10.11.1, 10.11.2: what the address and the data of a message mean. */
  sendMsi(addr: number, data: number): void {
    this.send({
      destination: (addr >>> 12) & 0xff,
      isLogical: (addr & 4) !== 0,
      deliveryMode: (data >>> 8) & 7,
      vector: data & 0xff,
      isLevel: (data & 0x8000) !== 0,
    });
  }

  #sendLowest(message: ApicMessage): void {
    let chosen: ApicBusAgent | undefined;
    for (const agent of this.#agents) {
      if (!agent.accepts(message.destination, message.isLogical)) continue;
      if (chosen === undefined || agent.arbitrationPriority() < chosen.arbitrationPriority()) chosen = agent;
    }
    chosen?.deliver(DELIVERY_FIXED, message.vector, message.isLevel);
  }
}
