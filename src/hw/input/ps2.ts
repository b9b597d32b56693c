/** PS/2 keyboard and mouse as the controller sees them (IBM PS/2 Hardware Interface Technical Reference). */
import { bool, byteList, i32, u8 } from '../../core/vmstate.ts';
import { ByteFifo } from '../../util/fifo.ts';
import { SET2_PAUSE } from './key-table.ts';
import { BREAK_PREFIX, translateSet2 } from './scancodes.ts';

const ACK = 0xfa;
const RESEND = 0xfe;
const SELF_TEST_PASSED = 0xaa;
/** Keys and movements are dropped beyond this; answers to commands are not. */
const INPUT_LIMIT = 16;
const QUEUE_SIZE = 64;
const NO_COMMAND = 0;
/** Movement beyond this is lost if nobody fetches it. */
const MAX_MOVEMENT = 0xffff;
/** Pause is pressed and released in one. */
const PAUSE_SET1 = [0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5];
const PAUSE_SET2 = [0xe1, 0x14, 0x77, 0xe1, BREAK_PREFIX, 0x14, BREAK_PREFIX, 0x77];

export const ps2Fields = {
  queue: byteList(QUEUE_SIZE),
  /** Reports keys or movements. */
  enabled: bool(),
  /** The command whose parameter is awaited; 0 for none. */
  command: u8(),
};

interface Ps2State {
  queue: Uint8Array;
  enabled: boolean;
  command: number;
}

/** What keyboard and mouse share: the queue of bytes for the controller. */
abstract class Ps2Device<S extends Ps2State> {
  s: S;
  readonly queue = new ByteFifo(QUEUE_SIZE);
  /** The controller: bytes wait. */
  onData: () => void = () => {};

  constructor(state: S) {
    this.s = state;
  }

  abstract write(byte: number): void;

  preSave(): void {
    this.s.queue = this.queue.toArray();
  }

  postLoad(state: S): void {
    this.s = state;
    this.queue.assign(state.queue);
  }

  protected answer(...bytes: readonly number[]): void {
    for (const byte of bytes) this.queue.push(byte);
    this.onData();
  }
}

export const keyboardFields = { ...ps2Fields, leds: u8(), rate: u8(0x2b), scanSet: u8(2) };

interface KeyboardState extends Ps2State {
  leds: number;
  rate: number;
  scanSet: number;
}

export class Ps2Keyboard extends Ps2Device<KeyboardState> {
  reset(): void {
    this.queue.clear();
    this.s.leds = 0;
    this.s.command = NO_COMMAND;
    this.#setDefaults();
    this.s.enabled = true;
  }

  /**
   * A key goes down or up. `code` is its make code in set 2, with 0xe0 in bits 15…8 for extended keys (0xe075: up arrow).
   */
  sendKey(code: number, isDown: boolean): void {
    if (!this.s.enabled) return;
    if (code === SET2_PAUSE) {
      const pause = this.s.scanSet === 1 ? PAUSE_SET1 : PAUSE_SET2;
      if (isDown && this.queue.length + pause.length <= INPUT_LIMIT) this.answer(...pause);
      return;
    }
    const bytes: number[] = code > 0xff ? [code >> 8] : [];
    if (!isDown && this.s.scanSet !== 1) bytes.push(BREAK_PREFIX);
    const last = code & 0xff;
    bytes.push(this.s.scanSet === 1 ? translateSet2(last) | (isDown ? 0 : 0x80) : last);
    if (this.queue.length + bytes.length > INPUT_LIMIT) return;
    this.answer(...bytes);
  }

  override write(byte: number): void {
    const command = this.s.command;
    this.s.command = NO_COMMAND;
    if (command !== NO_COMMAND && byte < 0xed) this.#parameter(command, byte);
    else this.#command(byte);
  }

  #parameter(command: number, byte: number): void {
    this.answer(ACK);
    if (command === 0xed) this.s.leds = byte & 7;
    else if (command === 0xf3) this.s.rate = byte & 0x7f;
    else if (byte === 0) this.answer(this.s.scanSet);
    else if (byte <= 3) this.s.scanSet = byte;
  }

  #command(byte: number): void {
    switch (byte) {
      case 0xed: // set LEDs
      case 0xf0: // scan code set
      case 0xf3: // repeat rate
        this.s.command = byte;
        this.answer(ACK);
        break;
      case 0xee: // echo
        this.answer(0xee);
        break;
      case 0xf2: // identify: MF2 keyboard
        this.answer(ACK, 0xab, 0x83);
        break;
      case 0xf4:
        this.queue.clear();
        this.s.enabled = true;
        this.answer(ACK);
        break;
      case 0xf5:
        this.#setDefaults();
        this.queue.clear();
        this.s.enabled = false;
        this.answer(ACK);
        break;
      case 0xf6:
        this.#setDefaults();
        this.answer(ACK);
        break;
      case 0xff:
        this.reset();
        this.answer(ACK, SELF_TEST_PASSED);
        break;
      default:
        if (byte >= 0xf7 && byte <= 0xfa) this.answer(ACK);
        else this.answer(RESEND);
    }
  }

  #setDefaults(): void {
    this.s.rate = 0x2b;
    this.s.scanSet = 2;
  }
}

export const mouseFields = {
  ...ps2Fields,
  resolution: u8(2),
  rate: u8(100),
  isRemote: bool(),
  isWrapping: bool(),
  scaling2: bool(),
  buttons: u8(),
  /** 0 plain, 3 with wheel, 4 with five buttons. */
  id: u8(),
  /** The last two sample rates: the knock that turns the wheel on. */
  rateBefore: u8(),
  rateBefore2: u8(),
  /** Movement not yet reported. */
  dx: i32(),
  dy: i32(),
  dz: i32(),
  reportedButtons: u8(),
};

interface MouseState extends Ps2State {
  resolution: number;
  rate: number;
  isRemote: boolean;
  isWrapping: boolean;
  scaling2: boolean;
  buttons: number;
  id: number;
  rateBefore: number;
  rateBefore2: number;
  dx: number;
  dy: number;
  dz: number;
  reportedButtons: number;
}

export class Ps2Mouse extends Ps2Device<MouseState> {
  reset(): void {
    this.queue.clear();
    this.s.command = NO_COMMAND;
    this.s.buttons = 0;
    this.s.id = 0;
    this.s.isWrapping = false;
    this.#forget();
    this.s.rateBefore = 0;
    this.s.rateBefore2 = 0;
    this.#setDefaults();
  }

  /** Movement right, up and of the wheel (towards the user is positive), and buttons: 1 left, 2 right, 4 middle. */
  move(dx: number, dy: number, dz: number, buttons: number): void {
    const s = this.s;
    s.buttons = buttons & 0x1f;
    if (!s.enabled) return;
    s.dx = clamp(s.dx + dx, -MAX_MOVEMENT, MAX_MOVEMENT);
    s.dy = clamp(s.dy + dy, -MAX_MOVEMENT, MAX_MOVEMENT);
    s.dz = clamp(s.dz + dz, -MAX_MOVEMENT, MAX_MOVEMENT);
    this.continueReports();
  }

  /** Sends what has not been reported, as far as there is room. */
  continueReports(): void {
    const s = this.s;
    if (!s.enabled || s.isRemote) return;
    while ((s.dx | s.dy | s.dz) !== 0 || s.reportedButtons !== s.buttons) {
      if (this.queue.length + 4 > INPUT_LIMIT) return;
      this.#report();
    }
  }

  override write(byte: number): void {
    const s = this.s;
    if (s.isWrapping && byte !== 0xec && byte !== 0xff) {
      this.answer(byte);
      return;
    }
    const command = s.command;
    s.command = NO_COMMAND;
    if (command === 0xe8) {
      s.resolution = byte & 3;
      this.answer(ACK);
    } else if (command === 0xf3) this.#setRate(byte);
    else this.#command(byte);
  }

  #setRate(rate: number): void {
    const s = this.s;
    s.rate = rate;
    if (rate === 80 && s.rateBefore === 100 && s.rateBefore2 === 200) s.id = 3;
    else if (rate === 80 && s.rateBefore === 200 && s.rateBefore2 === 200) s.id = 4;
    s.rateBefore2 = s.rateBefore;
    s.rateBefore = rate;
    this.answer(ACK);
  }

  #command(byte: number): void {
    const s = this.s;
    switch (byte) {
      case 0xe6:
      case 0xe7:
        s.scaling2 = byte === 0xe7;
        this.answer(ACK);
        break;
      case 0xe8:
      case 0xf3:
        s.command = byte;
        this.answer(ACK);
        break;
      case 0xe9:
        this.answer(ACK, this.#status(), s.resolution, s.rate);
        break;
      case 0xea:
      case 0xf0:
        s.isRemote = byte === 0xf0;
        this.answer(ACK);
        break;
      case 0xeb:
        this.answer(ACK);
        this.#report();
        break;
      case 0xec:
      case 0xee:
        s.isWrapping = byte === 0xee;
        this.answer(ACK);
        break;
      case 0xf2:
        this.answer(ACK, s.id);
        break;
      case 0xf4:
      case 0xf5:
        s.enabled = byte === 0xf4;
        this.#forget();
        this.answer(ACK);
        break;
      case 0xf6:
        this.#setDefaults();
        this.answer(ACK);
        break;
      case 0xff:
        this.reset();
        this.answer(ACK, SELF_TEST_PASSED, 0);
        break;
      default:
        this.answer(RESEND);
    }
  }

  #status(): number {
    const s = this.s;
    const buttons = ((s.buttons & 1) << 2) | ((s.buttons & 4) >> 1) | ((s.buttons & 2) >> 1);
    return (s.isRemote ? 0x40 : 0) | (s.enabled ? 0x20 : 0) | (s.scaling2 ? 0x10 : 0) | buttons;
  }

  /** One packet with as much of the movement as fits. */
  #report(): void {
    const s = this.s;
    const x = clamp(s.dx, -255, 255);
    const y = clamp(s.dy, -255, 255);
    const z = s.id === 3 ? clamp(s.dz, -127, 127) : clamp(s.dz, -7, 7);
    s.dx -= x;
    s.dy -= y;
    s.dz = s.id === 0 ? 0 : s.dz - z;
    s.reportedButtons = s.buttons;
    const signs = (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0);
    const bytes = [0x08 | signs | (s.buttons & 7), x & 0xff, y & 0xff];
    if (s.id === 3) bytes.push(z & 0xff);
    else if (s.id === 4) bytes.push((z & 15) | ((s.buttons & 0x18) << 1));
    this.answer(...bytes);
  }

  #forget(): void {
    const s = this.s;
    s.dx = 0;
    s.dy = 0;
    s.dz = 0;
    s.reportedButtons = s.buttons;
  }

  #setDefaults(): void {
    const s = this.s;
    s.resolution = 2;
    s.rate = 100;
    s.isRemote = false;
    s.scaling2 = false;
    s.enabled = false;
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, Math.trunc(value)));
}
