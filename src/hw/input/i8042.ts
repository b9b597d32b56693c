/**
 * Keyboard controller 8042 of the PC AT and PS/2 with keyboard and mouse (IBM PS/2 Hardware Interface Technical
 * Reference, "Keyboard and Auxiliary Device Controller").
 *
 *     data port 0x60: output buffer / parameter or byte for the keyboard
 *     port 0x64: status / command
 */
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { MmioDevice } from '../../core/memory-region.ts';
import type { PowerControl } from '../../core/reset.ts';
import { below, bool, byteList, bytes, defineState, stateful, struct, u8 } from '../../core/vmstate.ts';
import { ByteFifo } from '../../util/fifo.ts';
import { keyboardFields, mouseFields, Ps2Keyboard, Ps2Mouse } from './ps2.ts';
import { BREAK_PREFIX, translateSet2 } from './scancodes.ts';

const STATUS_OUTPUT_FULL = 0x01;
const STATUS_SYSTEM = 0x04;
const STATUS_COMMAND = 0x08;
const STATUS_UNLOCKED = 0x10;
const STATUS_AUX = 0x20;

// Command byte
const CTR_KBD_IRQ = 0x01;
const CTR_AUX_IRQ = 0x02;
const CTR_SYSTEM = 0x04;
const CTR_KBD_DISABLED = 0x10;
const CTR_AUX_DISABLED = 0x20;
const CTR_TRANSLATE = 0x40;

// Output port
const OUT_RESET_HIGH = 0x01;
const OUT_A20 = 0x02;

/** Whose byte the output buffer holds. */
const FROM_NOBODY = 0;
const FROM_KEYBOARD = 1;
const FROM_AUX = 2;

const schema = defineState('i8042', 1, {
  ctr: u8(CTR_KBD_IRQ | CTR_SYSTEM | CTR_TRANSLATE),
  ram: bytes(32),
  outputPort: u8(OUT_RESET_HIGH | OUT_A20 | 0xcc),
  /** The command that waits for its parameter at the data port; 0 for none. */
  command: u8(),
  lastWasCommand: bool(),
  buffer: u8(),
  source: below(3),
  /** Answers of the controller itself. */
  answers: byteList(16),
  /** Translation has seen the break prefix. */
  isBreak: bool(),
  keyboard: struct(keyboardFields),
  mouse: struct(mouseFields),
});

export class I8042 implements Device {
  /** Port 0x60. */
  readonly data: MmioDevice;
  /** Port 0x64. */
  readonly command: MmioDevice;
  readonly keyboard: Ps2Keyboard;
  readonly mouse: Ps2Mouse;
  readonly vmstate;

  readonly #s = schema.create();
  readonly #answers = new ByteFifo(16);
  readonly #kbdIrq: IrqLine;
  readonly #auxIrq: IrqLine;
  readonly #a20: IrqLine;
  readonly #power: PowerControl;

  /** `a20` is high while address line 20 is let through. */
  constructor(kbdIrq: IrqLine, auxIrq: IrqLine, a20: IrqLine, power: PowerControl) {
    this.#kbdIrq = kbdIrq;
    this.#auxIrq = auxIrq;
    this.#a20 = a20;
    this.#power = power;
    this.keyboard = new Ps2Keyboard(this.#s.keyboard);
    this.mouse = new Ps2Mouse(this.#s.mouse);
    this.keyboard.onData = () => this.#fill();
    this.mouse.onData = () => this.#fill();
    this.data = {
      read: () => this.#readData(),
      write: (_offset, _size, value) => this.#writeData(value & 0xff),
    };
    this.command = {
      read: () => this.#status(),
      write: (_offset, _size, value) => this.#writeCommand(value & 0xff),
    };
    this.keyboard.reset();
    this.mouse.reset();
    this.vmstate = stateful(schema, this.#s, {
      preSave: () => {
        this.#s.answers = this.#answers.toArray();
        this.keyboard.preSave();
        this.mouse.preSave();
      },
      postLoad: () => {
        this.#answers.assign(this.#s.answers);
        this.keyboard.postLoad(this.#s.keyboard);
        this.mouse.postLoad(this.#s.mouse);
        this.#driveIrqs();
        this.#driveA20();
      },
    });
  }

  reset(): void {
    schema.reset(this.#s);
    this.keyboard.s = this.#s.keyboard;
    this.mouse.s = this.#s.mouse;
    this.#answers.clear();
    this.keyboard.reset();
    this.mouse.reset();
    this.#driveIrqs();
    this.#driveA20();
  }

  /** Another device (port 0x92) moved the gate: the output port shows it. */
  setA20(open: boolean): void {
    this.#s.outputPort = open ? this.#s.outputPort | OUT_A20 : this.#s.outputPort & ~OUT_A20;
  }

  #status(): number {
    const s = this.#s;
    let value = STATUS_UNLOCKED | (s.ctr & CTR_SYSTEM ? STATUS_SYSTEM : 0);
    if (s.source !== FROM_NOBODY) value |= STATUS_OUTPUT_FULL;
    if (s.source === FROM_AUX) value |= STATUS_AUX;
    if (s.lastWasCommand) value |= STATUS_COMMAND;
    return value;
  }

  #readData(): number {
    const value = this.#s.buffer;
    if (this.#s.source !== FROM_NOBODY) {
      this.#s.source = FROM_NOBODY;
      this.#driveIrqs();
      this.#fill();
    }
    return value;
  }

  #writeData(value: number): void {
    const s = this.#s;
    s.lastWasCommand = false;
    const command = s.command;
    s.command = 0;
    if (command >= 0x60 && command < 0x80) this.#writeRam(command - 0x60, value);
    else if (command === 0xd1) this.#writeOutputPort(value);
    else if (command === 0xd2) this.#put(FROM_KEYBOARD, value);
    else if (command === 0xd3) this.#put(FROM_AUX, value);
    else if (command === 0xd4) this.mouse.write(value);
    else {
      // A byte for the keyboard also switches its interface on.
      s.ctr &= ~CTR_KBD_DISABLED;
      this.keyboard.write(value);
    }
    this.#fill();
  }

  #writeCommand(value: number): void {
    const s = this.#s;
    s.lastWasCommand = true;
    s.command = 0;
    if (value < 0x20) return;
    if (value < 0x40) this.#answer(value === 0x20 ? s.ctr : s.ram[value - 0x20]!);
    else if (value >= 0x60 && value < 0x80) s.command = value;
    else if (value >= 0xf0) this.#pulse(value);
    else this.#execute(value);
    this.#fill();
  }

  #execute(command: number): void {
    const s = this.#s;
    switch (command) {
      case 0xa7:
        s.ctr |= CTR_AUX_DISABLED;
        break;
      case 0xa8:
        s.ctr &= ~CTR_AUX_DISABLED;
        break;
      case 0xa9: // test of the auxiliary interface
      case 0xab: // test of the keyboard interface
        this.#answer(0);
        break;
      case 0xaa: // self test
        s.ctr |= CTR_SYSTEM;
        this.#answer(0x55);
        break;
      case 0xad:
        s.ctr |= CTR_KBD_DISABLED;
        break;
      case 0xae:
        s.ctr &= ~CTR_KBD_DISABLED;
        break;
      case 0xc0: // input port: keyboard not locked
        this.#answer(0x80);
        break;
      case 0xd0:
        this.#answer(s.outputPort);
        break;
      case 0xd1:
      case 0xd2:
      case 0xd3:
      case 0xd4:
        s.command = command;
        break;
      case 0xdd:
      case 0xdf:
        this.#writeOutputPort(command === 0xdf ? s.outputPort | OUT_A20 : s.outputPort & ~OUT_A20);
        break;
      default: // unknown commands do nothing
    }
  }

  #writeRam(index: number, value: number): void {
    const s = this.#s;
    s.ram[index] = value;
    if (index !== 0) return;
    s.ctr = value;
    this.#driveIrqs();
  }

  /** 0xf0…0xff pulse the output port's low bits that are 0; bit 0 is the processor's reset. */
  #pulse(command: number): void {
    if ((command & 1) === 0) this.#power.requestReset('guest-reset');
  }

  #writeOutputPort(value: number): void {
    this.#s.outputPort = value;
    this.#driveA20();
    if ((value & OUT_RESET_HIGH) === 0) this.#power.requestReset('guest-reset');
  }

  #answer(value: number): void {
    this.#answers.push(value);
  }

  #put(source: number, value: number): void {
    this.#s.buffer = value;
    this.#s.source = source;
    this.#driveIrqs();
  }

  /** Moves the next waiting byte into the output buffer if that is free. */
  #fill(): void {
    const s = this.#s;
    while (s.source === FROM_NOBODY) {
      if (!this.#answers.isEmpty) this.#put(FROM_KEYBOARD, this.#answers.shift());
      else if (!this.keyboard.queue.isEmpty && (s.ctr & CTR_KBD_DISABLED) === 0) {
        const byte = this.#translated(this.keyboard.queue.shift());
        if (byte >= 0) this.#put(FROM_KEYBOARD, byte);
      } else if (!this.mouse.queue.isEmpty && (s.ctr & CTR_AUX_DISABLED) === 0) {
        this.#put(FROM_AUX, this.mouse.queue.shift());
        this.mouse.continueReports();
      } else return;
    }
  }

  /** A keyboard byte as the guest gets it; −1: the break prefix, which translation folds into the next byte. */
  #translated(byte: number): number {
    const s = this.#s;
    if ((s.ctr & CTR_TRANSLATE) === 0) return byte;
    if (byte === BREAK_PREFIX) {
      s.isBreak = true;
      return -1;
    }
    const code = translateSet2(byte);
    const value = s.isBreak && byte < 0x85 ? code | 0x80 : code;
    s.isBreak = false;
    return value;
  }

  #driveIrqs(): void {
    const s = this.#s;
    this.#kbdIrq.set(s.source === FROM_KEYBOARD && (s.ctr & CTR_KBD_IRQ) !== 0);
    this.#auxIrq.set(s.source === FROM_AUX && (s.ctr & CTR_AUX_IRQ) !== 0);
  }

  #driveA20(): void {
    this.#a20.set((this.#s.outputPort & OUT_A20) !== 0);
  }
}
