/** Options of a SYN (RFC 9293 3.2, RFC 7323 2.2). */
export interface TcpOptions {
  readonly mss: number | undefined;
  readonly windowShift: number | undefined;
}

/** Reads the options between the fixed header at `tcp` and the header's end; what is malformed ends the list. */
export function readTcpOptions(frame: Uint8Array, tcp: number): TcpOptions {
  const end = Math.min(frame.length, tcp + (frame[tcp + 12]! >> 4) * 4);
  let mss: number | undefined;
  let windowShift: number | undefined;
  for (let at = tcp + 20; at < end; ) {
    const kind = frame[at]!;
    if (kind === 0) break;
    if (kind === 1) {
      at++;
      continue;
    }
    const length = frame[at + 1] ?? 0;
    if (length < 2 || at + length > end) break;
    if (kind === 2 && length === 4) mss = (frame[at + 2]! << 8) | frame[at + 3]!;
    if (kind === 3 && length === 3) windowShift = Math.min(14, frame[at + 2]!);
    at += length;
  }
  return { mss, windowShift };
}
