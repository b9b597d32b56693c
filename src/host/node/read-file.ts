/** Reads a whole file of the user's into shared memory, so that it reaches the machine thread without a copy. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { UserError } from '../../util/errors.ts';
import { errorReason } from './error-reason.ts';

const MAX_BYTES = 2 ** 32;
const CHUNK = 2 ** 24;

/** `option` is named in the message of the `UserError`. */
export function readSharedFile(path: string, option: string): Uint8Array {
  try {
    const fd = openSync(path, 'r');
    try {
      return readDescriptor(fd, `${option} ${path}`);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError('FileOpenFailed', `${option} ${path}: ${errorReason(error)}`);
  }
}

function readDescriptor(fd: number, what: string): Uint8Array {
  const stat = fstatSync(fd);
  if (stat.isDirectory()) throw new UserError('FileOpenFailed', `${what}: is a directory`);
  if (!stat.isFile()) return readStream(fd, what);
  if (stat.size > MAX_BYTES) throw tooLarge(what);
  const bytes = new Uint8Array(new SharedArrayBuffer(stat.size));
  let at = 0;
  while (at < bytes.length) {
    const count = readSync(fd, bytes, at, Math.min(CHUNK, bytes.length - at), at);
    if (count === 0) break; // it shrank meanwhile
    at += count;
  }
  return bytes.subarray(0, at);
}

/** A pipe, say: its length is known only at the end. */
function readStream(fd: number, what: string): Uint8Array {
  const parts: Buffer[] = [];
  let total = 0;
  for (;;) {
    const part = Buffer.alloc(CHUNK);
    const count = readSync(fd, part, 0, CHUNK, null);
    if (count === 0) break;
    parts.push(part.subarray(0, count));
    total += count;
    if (total > MAX_BYTES / 4) throw tooLarge(what);
  }
  const bytes = new Uint8Array(new SharedArrayBuffer(total));
  bytes.set(Buffer.concat(parts));
  return bytes;
}

function tooLarge(what: string): UserError {
  return new UserError('FileTooLarge', `${what}: larger than guest memory can be`);
}
