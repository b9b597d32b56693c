/** Interrupt lines: a wire from the output of one device to the input of another. */

/** Told the level of input `n`, also when it did not change. */
export type IrqHandler = (n: number, level: boolean) => void;

export class IrqLine {
  #handler: IrqHandler;
  readonly #n: number;
  #level = false;

  constructor(handler: IrqHandler, n = 0) {
    this.#handler = handler;
    this.#n = n;
  }

  /** A line that leads nowhere. */
  static unconnected(): IrqLine {
    return new IrqLine(() => {});
  }

  /** `count` lines to inputs 0 … count-1 of one handler. */
  static array(count: number, handler: IrqHandler): IrqLine[] {
    return Array.from({ length: count }, (_, n) => new IrqLine(handler, n));
  }

  /** One line that drives several. */
  static fanOut(...lines: readonly IrqLine[]): IrqLine {
    return new IrqLine((_, level) => {
      for (const line of lines) line.set(level);
    });
  }

  /** The level last set. */
  get level(): boolean {
    return this.#level;
  }

  set(level: boolean): void {
    this.#level = level;
    this.#handler(this.#n, level);
  }

  /** Leads the line elsewhere from now on: a test watches it in place of the device it went to. */
  redirect(handler: (level: boolean) => void): void {
    this.#handler = (_n, level) => handler(level);
  }

  raise(): void {
    this.set(true);
  }

  lower(): void {
    this.set(false);
  }

  /** An edge: high, then low. */
  pulse(): void {
    this.set(true);
    this.set(false);
  }
}

/** Wired-OR: `inputs` lines share one output, which is high while any of them is. */
export class OrGate {
  readonly inputs: readonly IrqLine[];
  #high: number[] = [];

  constructor(inputs: number, output: IrqLine) {
    this.#high = new Array<number>(inputs).fill(0);
    this.inputs = IrqLine.array(inputs, (n, level) => {
      this.#high[n] = level ? 1 : 0;
      output.set(this.#high.includes(1));
    });
  }
}
