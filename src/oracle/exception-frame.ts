import { END_VECTOR, HANDLERS, KERNEL_STACK } from './guest-memory.ts';
import { I_CR2, I_CS, I_ERROR, I_GPR, I_RFLAGS, I_RIP, I_RSP, I_SS, I_VECTOR, NO_VECTOR } from './image.ts';

const FRAME_SIZE = 40;

/** Where the handler of a vector stopped. Addresses of the kernel's half count from its start. */
export interface HandlerState {
  readonly rip: number;
  readonly rsp: number;
  readonly cr2: bigint;
}

/** Writes what the exception frame on the kernel's stack tells to the image. `end` is where the code under test ends. */
export function readExceptionFrame(out: DataView, ram: DataView, at: HandlerState, end: number): void {
  const size = KERNEL_STACK - at.rsp;
  const frame = KERNEL_STACK - FRAME_SIZE;
  const rip = ram.getUint32(frame, true);
  let vector = (at.rip - HANDLERS - 1) >>> 1;
  out.setBigUint64(I_RIP, ram.getBigUint64(frame, true), true);
  if (vector === END_VECTOR && rip === end + 2) {
    vector = NO_VECTOR;
    out.setUint32(I_RIP, end, true);
  }
  out.setUint32(I_CS, ram.getUint32(frame + 8, true), true);
  out.setBigUint64(I_RFLAGS, ram.getBigUint64(frame + 16, true), true);
  out.setBigUint64(I_GPR + I_RSP, ram.getBigUint64(frame + 24, true), true);
  out.setUint32(I_SS, ram.getUint32(frame + 32, true), true);
  out.setUint32(I_VECTOR, vector, true);
  out.setUint32(I_ERROR, size > FRAME_SIZE ? ram.getUint32(frame - 8, true) : 0, true);
  out.setBigUint64(I_CR2, at.cr2, true);
}
