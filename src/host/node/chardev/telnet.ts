/** The Telnet protocol (RFC 854, 857, 858, 1184) as far as a serial console needs it: character mode, 8-bit clean, IAC doubled. */

const IAC = 255;
const DONT = 254;
const DO = 253;
const WONT = 252;
const WILL = 251;
const SB = 250;
const BREAK = 243;
const SE = 240;
const OPTION_BINARY = 0;
const OPTION_ECHO = 1;
const OPTION_SUPPRESS_GO_AHEAD = 3;

/** What a server says first: it echoes, sends no go-ahead, and both directions are binary. */
export const TELNET_GREETING = Uint8Array.of(
  ...[IAC, WILL, OPTION_ECHO],
  ...[IAC, WILL, OPTION_SUPPRESS_GO_AHEAD],
  ...[IAC, WILL, OPTION_BINARY],
  ...[IAC, DO, OPTION_BINARY],
);

/** Doubles IAC bytes. */
export function escapeTelnet(bytes: Uint8Array): Uint8Array {
  if (!bytes.includes(IAC)) return bytes;
  const out: number[] = [];
  for (const byte of bytes) {
    out.push(byte);
    if (byte === IAC) out.push(IAC);
  }
  return Uint8Array.from(out);
}

type State = 'data' | 'command' | 'option' | 'subnegotiation' | 'subnegotiation-command' | 'carriage-return';

/** Takes the commands out of what the client sends. */
export class TelnetDecoder {
  readonly #onBreak: () => void;
  #state: State = 'data';

  constructor(onBreak: () => void) {
    this.#onBreak = onBreak;
  }

  /** The data bytes among `bytes`. */
  decode(bytes: Uint8Array): Uint8Array {
    const out: number[] = [];
    for (const byte of bytes) this.#next(byte, out);
    return Uint8Array.from(out);
  }

  #next(byte: number, out: number[]): void {
    switch (this.#state) {
      case 'carriage-return':
        this.#state = 'data';
        // RFC 854: CR is followed by NUL or LF in text mode; a console wants the CR alone.
        if (byte === 0 || byte === 0x0a) return;
        this.#next(byte, out);
        return;
      case 'data':
        if (byte === IAC) this.#state = 'command';
        else {
          out.push(byte);
          if (byte === 0x0d) this.#state = 'carriage-return';
        }
        return;
      case 'command':
        this.#state = 'data';
        if (byte === IAC) out.push(IAC);
        else if (byte === BREAK) this.#onBreak();
        else if (byte === SB) this.#state = 'subnegotiation';
        else if (byte === WILL || byte === WONT || byte === DO || byte === DONT) this.#state = 'option';
        return;
      case 'option':
        this.#state = 'data';
        return;
      case 'subnegotiation':
        if (byte === IAC) this.#state = 'subnegotiation-command';
        return;
      case 'subnegotiation-command':
        this.#state = byte === SE ? 'data' : 'subnegotiation';
        return;
    }
  }
}
