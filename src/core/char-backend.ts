/** The two ends of a byte stream between a device (serial port, debug console) and the host. */

/** The host's end, as a device uses it. */
export interface CharBackend {
  /** Takes one byte. False: not now; the backend will call `onWritable` and the device keeps the byte. */
  write(byte: number): boolean;
  /** Registers the device's end. */
  connect(frontend: CharFrontend): void;
}

/** The device's end, as the backend uses it. */
export interface CharFrontend {
  /** How many bytes `receive` would accept now. */
  canReceive(): number;
  /** One byte from the host. Call only while `canReceive` is positive. */
  receive(byte: number): void;
  /** The backend takes bytes again. */
  onWritable(): void;
  /** The device has room again after `canReceive` was 0; the backend sets it. */
  onReceivable?: (() => void) | undefined;
  /** The line breaks (Ctrl-A B). */
  onBreak?(): void;
}

/** Swallows output and gives no input: `-serial null`. */
export class NullCharBackend implements CharBackend {
  write(_byte: number): boolean {
    return true;
  }

  connect(_frontend: CharFrontend): void {}
}
