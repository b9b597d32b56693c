/** Submission and completion queues in guest memory (NVMe 1.4, 4.1 and 4.6). */
import type { AddressSpace } from '../../core/address-space.ts';
import { bool, struct, u8, u16, u32, u64 } from '../../core/vmstate.ts';
import * as nvme from './nvme-codes.ts';

export const submissionField = struct({
  exists: bool(),
  base: u64(),
  /** Entries. */
  size: u32(),
  head: u16(),
  tail: u16(),
  cqid: u16(),
});
export const completionField = struct({
  exists: bool(),
  base: u64(),
  size: u32(),
  head: u16(),
  tail: u16(),
  /** Phase tag of entries written now. */
  phase: u8(1),
  isInterrupting: bool(),
  vector: u16(),
});
export type SubmissionState = ReturnType<typeof submissionField.create>;
export type CompletionState = ReturnType<typeof completionField.create>;

export function isFull(queue: CompletionState): boolean {
  return (queue.tail + 1) % queue.size === queue.head;
}

/** Takes the next entry out of a queue that has one. */
export function fetchCommand(
  memory: AddressSpace,
  queue: SubmissionState,
  sqid: number,
  epoch: number,
): nvme.NvmeCommand {
  const bytes = new Uint8Array(nvme.COMMAND_BYTES);
  memory.readBytes(Number(queue.base) + queue.head * nvme.COMMAND_BYTES, bytes);
  queue.head = (queue.head + 1) % queue.size;
  const view = new DataView(bytes.buffer);
  return {
    sqid,
    epoch,
    view,
    opcode: bytes[0]!,
    flags: bytes[1]!,
    id: view.getUint16(2, true),
    nsid: view.getUint32(4, true),
  };
}

/** Writes the entry of a command into a queue that has room. */
export function postCompletion(
  memory: AddressSpace,
  queue: CompletionState,
  command: nvme.NvmeCommand,
  sqHead: number,
  status: number,
  result: number,
): void {
  const bytes = new Uint8Array(nvme.COMPLETION_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, result, true);
  view.setUint16(8, sqHead, true);
  view.setUint16(10, command.sqid, true);
  view.setUint16(12, command.id, true);
  view.setUint16(14, (status << 1) | queue.phase, true);
  memory.writeBytes(Number(queue.base) + queue.tail * nvme.COMPLETION_BYTES, bytes);
  queue.tail = (queue.tail + 1) % queue.size;
  if (queue.tail === 0) queue.phase ^= 1;
}
