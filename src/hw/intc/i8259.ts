/**
 * Intel 8259A programmable interrupt controller, as the pair of a PC: slave on IR2 of the master, edge/level control
 * registers. Intel 8259A data sheet (order 231468); ELCR: 82371AB (PIIX4) data sheet 4.2.5.
 *
 *     +0 write: bit 4 → ICW1, bit 3 → OCW3, else OCW2    read: IRR, ISR, or the poll word
 *     +1 write: ICW2…4 during initialisation, else OCW1  read: IMR
 */
import type { InterruptController } from '../../core/cpu-ports.ts';
import type { Device } from '../../core/device.ts';
import { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import { array, below, bool, defineState, type StateOf, stateful, struct, u8 } from '../../core/vmstate.ts';
import { countTrailingZeros } from '../../util/bits.ts';

const chipFields = {
  /** Levels of the inputs; not changed by reset, they belong to others. */
  lines: u8(),
  irr: u8(),
  imr: u8(),
  isr: u8(),
  elcr: u8(),
  vectorBase: u8(),
  /** The input of highest priority. */
  firstInput: below(8),
  /** Which ICW the data port expects next; 0: none. */
  nextIcw: below(5),
  needsIcw4: bool(),
  single: bool(),
  levelTriggered: bool(),
  readIsr: bool(),
  poll: bool(),
  specialMask: bool(),
  specialFullyNested: bool(),
  autoEoi: bool(),
  rotateOnAutoEoi: bool(),
};

const schema = defineState('i8259', 1, { chips: array(2, struct(chipFields)) });
type ChipState = StateOf<typeof schema>['chips'][number];

const CASCADE_INPUT = 2;
/** Inputs whose ELCR bit can be set: not the timer, keyboard, cascade; not RTC and coprocessor. */
const ELCR_MASK = [0xf8, 0xde] as const;

export const I8259_PORTS = 2;
export const I8259_MMIO: MmioOptions = { impl: { min: 1, max: 1 } };

/** One of the two chips. The logic here is that of a lone 8259A; `I8259Pair` wires them. */
class Chip {
  readonly isMaster: boolean;
  readonly elcrMask: number;
  s: ChipState;

  constructor(state: ChipState, isMaster: boolean) {
    this.s = state;
    this.isMaster = isMaster;
    this.elcrMask = isMaster ? ELCR_MASK[0] : ELCR_MASK[1];
  }

  /** Inputs that are sensed by level. The cascade input follows the slave's output as the INTA cycle makes it do. */
  #levelInputs(): number {
    const s = this.s;
    return s.levelTriggered ? 0xff : s.elcr | (this.isMaster ? 1 << CASCADE_INPUT : 0);
  }

  setLine(input: number, level: boolean): void {
    const s = this.s;
    const bit = 1 << input;
    if (level) {
      if ((this.#levelInputs() & bit) !== 0 || (s.lines & bit) === 0) s.irr |= bit;
      s.lines |= bit;
    } else {
      if ((this.#levelInputs() & bit) !== 0) s.irr &= ~bit;
      s.lines &= ~bit;
    }
  }

  /** Rank of the first of `inputs` in the present order of priority: 0 (highest) to 7; 8 for none. */
  #rank(inputs: number): number {
    const first = this.s.firstInput;
    return Math.min(8, countTrailingZeros(((inputs | (inputs << 8)) >> first) & 0xff));
  }

  /** The input to be served next, or -1. */
  pendingInput(): number {
    const s = this.s;
    const rank = this.#rank(s.irr & ~s.imr);
    if (rank === 8) return -1;
    let serving = s.isr;
    if (s.specialMask) serving &= ~s.imr;
    // 8259A "special fully nested mode": the slave may interrupt its own service.
    if (s.specialFullyNested && this.isMaster) serving &= ~(1 << CASCADE_INPUT);
    return rank < this.#rank(serving) ? (rank + s.firstInput) & 7 : -1;
  }

  acknowledge(input: number): void {
    const s = this.s;
    const bit = 1 << input;
    if (s.autoEoi) {
      if (s.rotateOnAutoEoi) s.firstInput = (input + 1) & 7;
    } else s.isr |= bit;
    if ((this.#levelInputs() & bit) === 0) s.irr &= ~bit;
  }

  read(offset: number): number {
    const s = this.s;
    if (s.poll) {
      s.poll = false;
      const input = this.pendingInput();
      if (input < 0) return 0;
      this.acknowledge(input);
      return 0x80 | input;
    }
    if (offset === 1) return s.imr;
    return s.readIsr ? s.isr : s.irr;
  }

  write(offset: number, value: number): void {
    if (offset === 1) this.#writeData(value);
    else if ((value & 0x10) !== 0) this.#initialise(value);
    else if ((value & 0x08) !== 0) this.#writeOcw3(value);
    else this.#writeOcw2(value);
  }

  #initialise(icw1: number): void {
    const s = this.s;
    s.needsIcw4 = (icw1 & 1) !== 0;
    s.single = (icw1 & 2) !== 0;
    s.levelTriggered = (icw1 & 8) !== 0;
    s.nextIcw = 2;
    s.imr = 0;
    s.isr = 0;
    s.irr = s.lines & this.#levelInputs();
    s.firstInput = 0;
    s.readIsr = false;
    s.poll = false;
    s.specialMask = false;
    s.specialFullyNested = false;
    s.autoEoi = false;
    s.rotateOnAutoEoi = false;
  }

  #writeData(value: number): void {
    const s = this.s;
    const afterIcw3 = s.needsIcw4 ? 4 : 0;
    switch (s.nextIcw) {
      case 2:
        s.vectorBase = value & 0xf8;
        s.nextIcw = s.single ? afterIcw3 : 3;
        break;
      case 3:
        s.nextIcw = afterIcw3;
        break;
      case 4:
        s.specialFullyNested = (value & 0x10) !== 0;
        s.autoEoi = (value & 0x02) !== 0;
        s.nextIcw = 0;
        break;
      default:
        s.imr = value;
    }
  }

  #writeOcw3(value: number): void {
    const s = this.s;
    if ((value & 0x40) !== 0) s.specialMask = (value & 0x20) !== 0;
    if ((value & 0x04) !== 0) s.poll = true;
    else if ((value & 0x02) !== 0) s.readIsr = (value & 1) !== 0;
  }

  #writeOcw2(value: number): void {
    const s = this.s;
    const input = value & 7;
    switch (value >> 5) {
      case 0:
        s.rotateOnAutoEoi = false;
        break;
      case 4:
        s.rotateOnAutoEoi = true;
        break;
      case 1:
      case 5:
        this.#endHighest((value & 0x80) !== 0);
        break;
      case 3:
        s.isr &= ~(1 << input);
        break;
      case 7:
        s.isr &= ~(1 << input);
        s.firstInput = (input + 1) & 7;
        break;
      case 6:
        s.firstInput = (input + 1) & 7;
        break;
      default: // 2: no operation
    }
  }

  /** Non-specific EOI. In special mask mode it passes over masked inputs. */
  #endHighest(rotate: boolean): void {
    const s = this.s;
    const rank = this.#rank(s.specialMask ? s.isr & ~s.imr : s.isr);
    if (rank === 8) return;
    const input = (rank + s.firstInput) & 7;
    s.isr &= ~(1 << input);
    if (rotate) s.firstInput = (input + 1) & 7;
  }
}

export class I8259Pair implements InterruptController, Device {
  /** ISA IRQ 0…15. Input 2 is the cascade and ignored. */
  readonly inputs: readonly IrqLine[];
  /** Ports 0x20–0x21, 0xa0–0xa1, and the ELCRs 0x4d0, 0x4d1. */
  readonly master: MmioDevice;
  readonly slave: MmioDevice;
  readonly elcrMaster: MmioDevice;
  readonly elcrSlave: MmioDevice;
  readonly vmstate;

  readonly #state = schema.create();
  readonly #chips: readonly [Chip, Chip];
  readonly #output: IrqLine;

  /** `output` is INTR: to the LINT0 pin of the boot processor's local APIC, or to the CPU. */
  constructor(output: IrqLine) {
    this.#output = output;
    this.#chips = [new Chip(this.#state.chips[0]!, true), new Chip(this.#state.chips[1]!, false)];
    this.inputs = IrqLine.array(16, (n, level) => this.#setInput(n, level));
    this.master = this.#ports(this.#chips[0]);
    this.slave = this.#ports(this.#chips[1]);
    this.elcrMaster = this.#elcrPort(this.#chips[0]);
    this.elcrSlave = this.#elcrPort(this.#chips[1]);
    this.vmstate = stateful(schema, this.#state, { postLoad: () => this.#rewire() });
  }

  hasInterrupt(): boolean {
    return this.#chips[0].pendingInput() >= 0;
  }

  acknowledge(): number {
    const [master, slave] = this.#chips;
    const input = master.pendingInput();
    if (input < 0) return -1;
    let vector = master.s.vectorBase + input;
    if (input === CASCADE_INPUT) {
      const slaveInput = slave.pendingInput();
      if (slaveInput >= 0) slave.acknowledge(slaveInput);
      // A request that went away shows as IR7.
      vector = slave.s.vectorBase + (slaveInput < 0 ? 7 : slaveInput);
    }
    master.acknowledge(input);
    this.#update();
    return vector;
  }

  reset(): void {
    for (const chip of this.#chips) {
      const lines = chip.s.lines;
      Object.assign(chip.s, schema.fields.chips.create()[0], { lines });
    }
    this.#update();
  }

  /** What the monitor's `info pic` shows. */
  describe(): string {
    const hex = (n: number): string => n.toString(16).padStart(2, '0');
    return this.#chips
      .map(
        ({ s }, i) =>
          `pic${i}: irr=${hex(s.irr)} imr=${hex(s.imr)} isr=${hex(s.isr)} hprio=${s.firstInput} ` +
          `irq_base=${hex(s.vectorBase)} elcr=${hex(s.elcr)}`,
      )
      .join('\n');
  }

  #rewire(): void {
    this.#chips[0].s = this.#state.chips[0]!;
    this.#chips[1].s = this.#state.chips[1]!;
    this.#update();
  }

  #setInput(n: number, level: boolean): void {
    if (n === CASCADE_INPUT) return;
    this.#chips[n >> 3]!.setLine(n & 7, level);
    this.#update();
  }

  #update(): void {
    const [master, slave] = this.#chips;
    master.setLine(CASCADE_INPUT, slave.pendingInput() >= 0);
    this.#output.set(master.pendingInput() >= 0);
  }

  #ports(chip: Chip): MmioDevice {
    return {
      read: (offset: number, _size: AccessSize): number => {
        const value = chip.read(offset & 1);
        this.#update();
        return value;
      },
      write: (offset: number, _size: AccessSize, value: number): void => {
        chip.write(offset & 1, value & 0xff);
        this.#update();
      },
    };
  }

  #elcrPort(chip: Chip): MmioDevice {
    return {
      read: (): number => chip.s.elcr,
      write: (_offset: number, _size: AccessSize, value: number): void => {
        chip.s.elcr = value & chip.elcrMask;
      },
    };
  }
}
